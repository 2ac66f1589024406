/** Opens a network: the way that was asked for, else the best that works, and says why. */

import type { Entry } from "./catalogue.js";
import { type Machine, WAYS, WAY_NAMES, choices, formatOf, obstacle } from "./choice.js";
import { PlainError, plain } from "./errors.js";
import type { Way } from "./protocol.js";
import { sha256Of } from "./report.js";
import { Session } from "./session.js";

export interface Opened {
  readonly session: Session;
  readonly sha256: string;
  readonly reason: string;
  /** What did not work on the way here, in plain words. */
  readonly failures: readonly string[];
}

/** Open one of a network's files, falling back from what does not work. */
export async function openNet(
  entries: readonly Entry[],
  wanted: Way | "auto",
  machine: Machine,
  threads: number,
  avoided: ReadonlySet<Way> = new Set(),
): Promise<Opened> {
  const cards = entries.map(({ card }) => card);
  const failures: string[] = [];
  const automatic = choices(cards, machine).filter(({ way }) => !avoided.has(way));
  const ways =
    wanted === "auto" || avoided.has(wanted)
      ? automatic
      : [{ way: wanted, reason: "chosen by hand" }, ...automatic.filter((c) => c.way !== wanted)];
  for (const { way, reason } of ways) {
    const hindrance = obstacle(way, cards, machine);
    if (hindrance) {
      failures.push(`${WAY_NAMES[way]} cannot run this network: ${hindrance}.`);
      continue;
    }
    const entry = entries.find(({ card }) => card.format === formatOf(way))!;
    try {
      const file = await entry.load();
      const digest = await sha256Of(file);
      if (digest && digest !== entry.card.sha256)
        throw new PlainError(
          `${entry.card.file} is not the file of its card (their SHA-256 differ). Export it again.`,
        );
      const session = await Session.open(entry.card, file, way, threads);
      const fallen = failures.length ? "; the first choice did not work" : "";
      return { session, sha256: digest ?? entry.card.sha256, reason: reason + fallen, failures };
    } catch (error) {
      failures.push(`${WAY_NAMES[way]}: ${plain(error)}`);
    }
  }
  const { format } = cards[0]!;
  const hindrances = WAYS.filter((way) => formatOf(way) === format).map(
    (way) => `${WAY_NAMES[way]}: ${obstacle(way, cards, machine) ?? "it did not work"}.`,
  );
  throw new PlainError((failures.length ? failures : hindrances).join(" "));
}
