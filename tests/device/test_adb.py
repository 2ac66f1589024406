"""The adb client: which one is taken, which phones it names, and what it costs when it hangs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edgevsr.errors import DeviceError
from edgevsr.profiling.phones.adb import Adb, HungError, find_adb
from tests.device.conftest import LIMITS, MakePhone
from tests.loopback_phone import Faults


def test_an_unauthorised_phone_says_what_to_do(adb: Adb, make_phone: MakePhone) -> None:
    """It is listed, refused before anything is sent, and the way out is to tap Allow."""
    phone = make_phone(Faults(unauthorised=True))
    with pytest.raises(DeviceError, match=r"is unauthorized; .*allow USB debugging"):
        adb.choose([f"adb:{phone.serial}"])
    with pytest.raises(DeviceError, match="unauthorized"):
        adb.phone(phone.serial).shell("true")


def test_several_phones_must_be_told_apart(adb: Adb, make_phone: MakePhone) -> None:
    """Bare `adb` is one phone; `adb:SERIAL` picks; `adb:all` takes each; a stranger is refused."""
    with pytest.raises(DeviceError, match="no phone is attached"):
        adb.choose(["adb"])
    first = make_phone()
    assert adb.choose(["adb"]) == [first.serial]
    second = make_phone()
    with pytest.raises(DeviceError, match="2 phones are attached") as caught:
        adb.choose(["adb"])
    assert first.serial in str(caught.value)
    assert adb.choose([f"adb:{second.serial}"] * 2) == [second.serial]
    assert set(adb.choose(["adb:all"])) == {first.serial, second.serial}
    with pytest.raises(DeviceError, match="adb:nobody: is not attached"):
        adb.choose(["adb:nobody"])


def test_a_server_that_hangs_is_named(tmp_path: Path) -> None:
    """A client that never answers costs the step's limit, not for ever."""
    client = tmp_path / "adb"
    client.write_text("#!/bin/sh\ncase $1 in start-server) ;; *) sleep 60; esac\n")
    client.chmod(0o755)
    with pytest.raises(HungError, match="adb kill-server"):
        Adb(client, replace(LIMITS, step_s=0.3)).devices()


def test_find_adb(client: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The flag goes first, then PATH, then the wheel's; what is no adb is told so."""
    own = tmp_path / "adb"
    own.write_text("#!/bin/sh\necho not adb\n")
    own.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_adb() == own
    assert find_adb(client) == client
    with pytest.raises(DeviceError, match="is not an adb client"):
        Adb(own).version()
    own.unlink()
    assert find_adb() == client
    with pytest.raises(DeviceError, match="no such program"):
        find_adb(tmp_path / "nothing")
