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

export type OpenEngine = (options: {
  readonly card: Card;
  readonly file: ArrayBuffer;
  readonly way: Way;
  readonly threads: number;
  readonly runtime: string;
}) => Promise<Engine>;
