/** The measurement as JSON, in the form that `edgevsr report` reads. */

import { type Card, gmacOf } from "./card.js";
import type { Machine } from "./choice.js";
import { quantile } from "./meter.js";
import type { Session } from "./session.js";

export interface Measured {
  readonly session: Session;
  /** Milliseconds of the network, frame by frame. */
  readonly netMs: readonly number[];
  readonly firstMs: number | null;
  readonly sha256: string;
  readonly machine: Machine;
  readonly painter: string;
}

/** Return a measurement by `measured.schema.json`; times are of the network, nothing else. */
export function report(measured: Measured): Record<string, unknown> {
  const { session, machine, netMs } = measured;
  const { card, opened } = session;
  return {
    schema: "edgevsr-measured/1",
    kind: "measured",
    date: new Date().toISOString(),
    file: { name: card.file, sha256: measured.sha256, bytes: card.bytes },
    net: `${card.net}-x${card.scale}`,
    size: `${card.width}x${card.height}`,
    scale: card.scale,
    psnr_y_db: Object.keys(card.psnrYDb).length ? card.psnrYDb : null,
    gmac: gmacOf(card),
    device: {
      name: slug(machine.model ?? machine.platform),
      model: machine.model,
      android: machine.android,
      cores: machine.cores,
    },
    runtime: {
      name: opened.runtime,
      version: opened.version,
      delegate: session.way.endsWith("webgpu") ? "webgpu" : "wasm",
      threads: opened.threads,
    },
    runs: netMs.length,
    latency_ms: latency(netMs),
    init_ms: opened.initMs,
    first_ms: measured.firstMs,
    tools: {
      browser: machine.browser,
      platform: machine.platform,
      painter: measured.painter,
      gpu: machine.gpu?.name ?? "none",
      isolated: String(machine.isolated),
    },
  };
}

function latency(ms: readonly number[]): Record<string, number | null> {
  if (ms.length === 0) return {};
  const mean = ms.reduce((a, b) => a + b, 0) / ms.length;
  const squares = ms.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return {
    p50: quantile(ms, 0.5),
    p90: quantile(ms, 0.9),
    p95: quantile(ms, 0.95),
    mean,
    min: Math.min(...ms),
    max: Math.max(...ms),
    std: Math.sqrt(squares / ms.length),
  };
}

function slug(text: string): string {
  const words = text.toLowerCase().replace(/[^a-z0-9]+/g, "-");
  return `browser-${words.replace(/^-|-$/g, "")}`.slice(0, 80);
}

/** Return the SHA-256 of a file; null where the page's address is not a secure one. */
export async function sha256Of(file: ArrayBuffer): Promise<string | null> {
  if (!globalThis.crypto?.subtle) return null;
  const digest = await crypto.subtle.digest("SHA-256", file);
  return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Return how a card's quality reads: the sets it was measured on. */
export function qualityText(card: Card): string {
  const sets = Object.entries(card.psnrYDb).map(([set, db]) => `${set} ${db.toFixed(2)}`);
  return sets.length ? `${sets.join(" · ")} dB` : "not measured";
}
