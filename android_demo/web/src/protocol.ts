/** What the page and the worker that holds the network say to one another. */

import type { Card, Pixels } from "./card.js";

/** How a network runs: the runtime, and where. */
export type Way = "ort-wasm" | "ort-webgpu" | "litert-wasm" | "litert-webgpu";

export type FrameImage = VideoFrame | ImageBitmap;

export type Request =
  | {
      /** Start the runtime before there is a network. */
      readonly kind: "warm";
      readonly way: Way;
      readonly threads: number;
      readonly runtime: string;
    }
  | {
      readonly kind: "open";
      readonly card: Card;
      readonly file: ArrayBuffer;
      readonly way: Way;
      readonly threads: number;
      /** Where the runtimes lie. */
      readonly runtime: string;
    }
  | {
      readonly kind: "frame";
      readonly id: number;
      readonly read: Read;
      readonly reset: boolean;
    }
  | { readonly kind: "pixels"; readonly id: number; readonly pixels: Pixels; readonly reset: boolean }
  | { readonly kind: "time"; readonly id: number; readonly seconds: number };

/** What the reader, a worker of its own, makes of an image while the network is at another. */
export interface Read {
  readonly luma: Pixels;
  /** Interleaved RGB, where the network takes that. */
  readonly rgb: Pixels | null;
  /** Luma of the HR frame that the LR frame was made of, to score the result by. */
  readonly truth: Pixels | null;
}

export interface ReadRequest {
  readonly id: number;
  readonly image: FrameImage;
  readonly card: Card;
  /** Make the LR frame out of an HR one here, so that the result can be scored. */
  readonly simulate: boolean;
}

export interface ReadReply {
  readonly id: number;
  readonly message: string | null;
  readonly read: Read | null;
  /** RGBA of the LR frame. */
  readonly lr: Uint8ClampedArray<ArrayBuffer>;
  readonly uploadMs: number;
  /** Size of the image before it was brought to what the network takes. */
  readonly from: string;
}

export interface Scores {
  /** PSNR-Y in dB; null where the frames are equal. */
  readonly srDb: number | null;
  readonly bicubicDb: number | null;
}

export type Reply =
  | {
      readonly kind: "opened";
      readonly initMs: number;
      readonly version: string;
      readonly runtime: string;
      readonly threads: number;
    }
  | {
      readonly kind: "frame";
      readonly id: number;
      /** Luma, or RGBA. */
      readonly sr: Pixels;
      readonly netMs: number;
      readonly scores: Scores | null;
      readonly cut: boolean;
    }
  | { readonly kind: "pixels"; readonly id: number; readonly sr: Pixels }
  | { readonly kind: "times"; readonly id: number; readonly ms: readonly number[] }
  | { readonly kind: "failed"; readonly id: number | null; readonly message: string };
