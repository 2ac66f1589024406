/** What the page says: figures, the card, the device. */

import { type Card, gmacOf } from "./card.js";
import type { Machine } from "./choice.js";
import { nameOf, sizeOf } from "./catalogue.js";
import type { Live } from "./live.js";
import { qualityText } from "./report.js";

export function byId<T extends HTMLElement>(id: string): T {
  return document.getElementById(id) as T;
}

/** Fill a list of terms; text is always text, wherever it came from. */
export function showFacts(list: HTMLElement, facts: Readonly<Record<string, string>>): void {
  list.replaceChildren(
    ...Object.entries(facts).flatMap(([term, text]) => {
      const [name, value] = [document.createElement("dt"), document.createElement("dd")];
      name.textContent = term;
      value.textContent = text;
      return [name, value];
    }),
  );
}

/** Fill a select with options `[value, text, disabled]`. */
export function showOptions(
  select: HTMLSelectElement,
  options: readonly (readonly [string, string, boolean?])[],
  chosen: string,
): void {
  select.replaceChildren(
    ...options.map(([value, text, disabled]) => {
      const option = new Option(text, value, false, value === chosen);
      option.disabled = disabled ?? false;
      return option;
    }),
  );
}

export function showCard(card: Card, sha256: string | null): void {
  const gmac = gmacOf(card);
  const ops = Object.entries(card.ops).map(([op, count]) => `${count} ${op}`);
  showFacts(byId("card"), {
    Network: nameOf(card),
    "PSNR-Y": qualityText(card),
    MACs: gmac === null ? "unknown" : `${gmac.toFixed(3)} G a frame`,
    Weights: card.params?.toLocaleString("en") ?? "unknown",
    "LR → SR": `${sizeOf(card)} → ${card.width * card.scale}×${card.height * card.scale}`,
    File: `${card.file}, ${(card.bytes / 1024).toFixed(0)} KiB`,
    Recurrent: card.recurrent ? "yes, state kept between frames" : "no",
    Operators: ops.join(", "),
    "SHA-256": `${(sha256 ?? card.sha256).slice(0, 16)}…`,
  });
}

export function showDevice(machine: Machine, painter: string): void {
  const { gpu } = machine;
  showFacts(byId("device"), {
    Device: machine.model ?? machine.platform,
    ...(machine.android ? { Android: machine.android } : {}),
    Browser: machine.browser.replace("/", " "),
    Cores: String(machine.cores),
    ...(machine.memoryGib ? { Memory: `at least ${machine.memoryGib} GiB` } : {}),
    WebGPU: gpu ? `${gpu.name}${gpu.software ? " (emulated)" : ""}` : "not here",
    "Drawn with": painter,
    "Wasm threads": machine.isolated ? "allowed" : "not allowed on this page",
  });
}

export function showFigures(live: Live): void {
  const { meter, session, scores } = live;
  const ms = (name: string) => {
    const value = meter.median(name);
    return value === null ? "–" : `${value < 10 ? value.toFixed(1) : value.toFixed(0)} ms`;
  };
  const fps = meter.fps();
  byId("fps").textContent = fps ? fps.toFixed(1) : "–";
  for (const name of ["upload", "net", "draw"]) byId(`${name}-ms`).textContent = ms(name);
  byId("dropped").textContent = String(live.dropped);
  byId("psnr").hidden = scores === null;
  if (scores) {
    const db = (value: number | null) => (value === null ? "equal" : `${value.toFixed(2)} dB`);
    byId("psnr-db").textContent = `${db(scores.srDb)} against ${db(scores.bicubicDb)}`;
  }
  if (!session || !live.from) return;
  const { card } = session;
  const source = live.from === sizeOf(card) ? "" : `${live.from} → `;
  const sr = `${card.width * card.scale}×${card.height * card.scale}`;
  byId("frame-size").textContent = `${source}${sizeOf(card)} → ${sr}`;
}
