/** What the two runtimes have in common. */

import type { Card } from "./card.js";
import type { Way } from "./protocol.js";

export type Values = Float32Array | Int8Array | Uint8Array;

/** A network in a runtime: named arrays in, named arrays out, in the file's own types. */
export interface Engine {
  readonly runtime: string;
  readonly version: string;
  readonly threads: number;
  run(inputs: ReadonlyMap<string, Values>): Promise<ReadonlyMap<string, Values>>;
}

export interface Start {
  readonly way: Way;
  readonly threads: number;
  /** Where the runtimes lie. */
  readonly runtime: string;
}

export interface Opener {
  /** Start the runtime, the first time that it is called. */
  warm(start: Start): Promise<void>;
  /** Open a network in the runtime that was started. */
  open(given: Start & { readonly card: Card; readonly file: ArrayBuffer }): Promise<Engine>;
}
