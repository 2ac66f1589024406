"""The verb `demo`: networks on live video in a browser, here or on a phone's cable."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from edgevsr.errors import DataError, DeviceError, ExportError, SourceError
from edgevsr.exporters.card import write_artifact
from edgevsr.exporters.targets import load_target
from edgevsr.files import sha256_of
from edgevsr.page_server import PageServer
from edgevsr.profiling.phones.adb import Adb, Limits, find_adb
from edgevsr.sources import Stage, open_source
from edgevsr.zoo import sample_clip

#: What the page starts with; int8 and float, so that every engine has something to run.
DEFAULT_NETS = ("sesr-m5-x2-w8a8", "sesr-m5-x2", "sesr-m5-x4-w8a8")
#: LR frames that are offered of a network whose file does not fix them.
SIZES = ((320, 180), (640, 360))
DEFAULT_PORT = 8360

_CARD_KEYS = {"schema_version", "format", "size", "inputs", "outputs", "sha256", "file"}


@dataclass(frozen=True)
class DemoResult:
    """A page that is being served, until `wait` is interrupted or `close` is called.

    `nets` are the files on offer; `phones` the serials on which localhost leads here.
    """

    address: str
    nets: tuple[str, ...]
    phones: tuple[str, ...]
    _server: PageServer = field(repr=False, compare=False)
    _folder: tempfile.TemporaryDirectory[str] = field(repr=False, compare=False)
    _adb: Adb | None = field(repr=False, compare=False)

    def to_json(self) -> dict[str, Any]:
        """Return the contract's keys."""
        return {"address": self.address, "nets": list(self.nets), "phones": list(self.phones)}

    def wait(self) -> None:
        """Serve until Ctrl-C, then close."""
        try:
            self._server.wait()
        except KeyboardInterrupt:
            pass  # the way to end it
        finally:
            self.close()

    def close(self) -> None:
        """Stop serving, take the phones' tunnels down and remove what was exported."""
        for serial in self.phones:
            if self._adb is not None:
                remove = ["-s", serial, "reverse", "--remove", f"tcp:{self._server.port}"]
                self._adb.call(remove, heed_stop=False)
        self._server.close()
        self._folder.cleanup()


def demo(net: Sequence[str | Path] = (), *, port: int = DEFAULT_PORT) -> DemoResult:
    """Serve the demo's page with some networks, and return while it is served.

    `net` are SOURCEs, by default some that ship: exported files go as they are, with their cards;
    anything else is exported for onnxruntime-web and for LiteRT.js. On phones that adb sees,
    localhost:PORT is made to lead here. Port 0 takes any free one.

    Raises:
        DataError: the page is not built.
        SourceError: a source cannot be opened, or two files share a name.
        ExportError: a browser cannot run a network.
        DeviceError: the port cannot be opened.
    """
    served: dict[str, Path | bytes] = dict(page_files())
    folder = tempfile.TemporaryDirectory(prefix="edgevsr-demo-")
    try:
        nets = _nets(net or DEFAULT_NETS, Path(folder.name))
        served |= {f"nets/{name}": path for name, path in nets.items()}
        cards = [name for name in nets if name.endswith(".json")]
        served["nets/index.json"] = json.dumps(cards).encode()
        served["sample.mp4"] = sample_clip()
        server = PageServer(served, port)
    except BaseException:
        folder.cleanup()
        raise
    adb, phones = _reverse(server.port)
    names = tuple(name for name in nets if not name.endswith(".json"))
    return DemoResult(f"http://localhost:{server.port}/", names, phones, server, folder, adb)


def page_files() -> dict[str, Path]:
    """Return the built page: its files by their path below the page's folder.

    Raises:
        DataError: it is not built.
    """
    folder = Path(str(files("edgevsr.demo_page"))) / "page"
    if not (folder / "index.html").is_file():
        raise DataError(
            f"{folder}: the demo's page is not built; in the repository run: make page (it needs "
            "npm), or install edgevsr from a wheel"
        )
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path for path in paths}


def _nets(sources: Sequence[str | Path], folder: Path) -> dict[str, Path]:
    """Return the files on offer, cards before what they describe, by name."""
    found: dict[str, Path] = {}
    for source in sources:
        stage = open_source(source)
        cards = [stage.path.with_suffix(".json")] if _is_exported(stage) else []
        for card in cards or _export(stage, folder, str(source)):
            path = card.with_name(json.loads(card.read_text("utf-8"))["file"])
            if card.name in found:
                raise SourceError(
                    f"{source}: its card {card.name} has the name of another's; rename the file "
                    "by exporting it again with -o"
                )
            found |= {card.name: card, path.name: path}
    return found


def _is_exported(stage: Stage) -> bool:
    """Whether this is a file of `edgevsr export` with its own card."""
    card = stage.card
    return (
        card is not None and card.keys() >= _CARD_KEYS and card["sha256"] == sha256_of(stage.path)
    )


def _export(stage: Stage, folder: Path, source: str) -> list[Path]:
    """Export a network for the browser's engines; return the cards."""
    graph = stage.graph
    facts = {key: (stage.card or {}).get(key) for key in ("psnr_y_db", "drift", "training")}
    facts = {key: value for key, value in facts.items() if value is not None}
    sizes = (graph.size,) if graph.size else SIZES
    cards = []
    for target, io in (("onnx-web", "float"), ("tflite", "float")):
        goal = load_target(target)
        for size in sizes:
            name = f"{stage.name}-{size[0]}x{size[1]}-{target}.{goal.format}"
            try:
                artifact = write_artifact(
                    graph, goal, size, io, folder / name, source=source, facts=facts
                )
            except ExportError:
                if goal.format == "onnx":
                    raise
                continue  # LiteRT.js then has nothing to run, and the page says so
            cards.append(artifact.card_path)
    return cards


def _reverse(port: int) -> tuple[Adb | None, tuple[str, ...]]:
    """Make localhost:port of every attached phone lead here; return their serials."""
    try:
        adb = Adb(find_adb(), Limits(step_s=10))
        serials = [each.serial for each in adb.devices() if each.state == "device"]
        reverse = ["reverse", f"tcp:{port}", f"tcp:{port}"]
        done = [serial for serial in serials if adb.call(["-s", serial, *reverse]).exit_code == 0]
    except DeviceError:
        return None, ()  # the page works here without a phone
    return adb, tuple(done)
