/** What tests hold the page to: its tensors, its figures, its report. */

import { type Layout, compensated } from "./alignment.js";
import type { Dtype } from "./card.js";
import type { Machine } from "./choice.js";
import type { Values } from "./engine.js";
import type { Live } from "./live.js";
import { MotionFinder } from "./motion.js";
import { lumaOf, psnrDb, resizePlane } from "./pixels.js";
import type { Player } from "./player.js";
import type { Way } from "./protocol.js";

interface Page {
  readonly machine: Machine;
  readonly live: Live;
  readonly player: Player;
  readonly ready: Promise<void>;
  readonly report: () => Record<string, unknown> | null;
  readonly open: (net: string, size: string, way: string) => Promise<void>;
}

interface Size {
  readonly width: number;
  readonly height: number;
}

const ARRAYS = { float32: Float32Array, int8: Int8Array, uint8: Uint8Array };

export function makeProbe({ machine, live, player, ready, report, open }: Page): object {
  return {
    machine,
    ready,
    report,
    select: async (net: string, size: string, way: string): Promise<Way | null> => {
      await open(net, size, way);
      return live.session?.way ?? null;
    },
    run: async (pixels: number[], reset: boolean) => [
      ...(await live.session!.pixels(new Uint8Array(pixels), reset)),
    ],
    /** Milliseconds of the network alone, on the frame on screen. */
    time: (seconds: number) => live.session!.time(seconds),
    figures: () => ({
      fps: live.meter.fps(),
      /** Frames that the rate is of. */
      counted: live.meter.counted,
      shown: live.shown,
      dropped: live.dropped,
      ms: Object.fromEntries(
        ["upload", "net", "draw"].map((name) => [name, live.meter.median(name)]),
      ),
    }),
    /** What went into the frame on screen, as luma, and what came out. */
    shown: () => {
      const { reply, anew } = live.last!;
      return { luma: [...lumaOf(reply.lr)], sr: [...reply.sr], anew };
    },
    play: () => player.video.play(),
    /** Pause, and wait until nothing but the caller uses the network. */
    pause: () => {
      player.video.pause();
      return live.idle();
    },
    resize: (plane: number[], from: Size, to: Size) => [
      ...resizePlane(new Uint8Array(plane), from, to),
    ],
    psnr: (one: number[], other: number[], width: number, border: number) =>
      psnrDb(new Uint8Array(one), new Uint8Array(other), width, border),
    /** Motion since the plane before. */
    motion: (frame: number[], before: number[], layout: Layout) => [
      ...new MotionFinder(layout).since(new Uint8Array(frame), new Uint8Array(before)),
    ],
    compensated: (sr: number[], dtype: Dtype, motion: number[], layout: Layout) => {
      const values: Values = new ARRAYS[dtype](sr);
      return [...compensated(values, new Int32Array(motion), layout, values.slice())];
    },
  };
}
