/** Where pixels were in the frame before, and the SR frame before moved accordingly. */

import type { Pixels } from "./card.js";
import type { Values } from "./engine.js";
import { Flow } from "./flow.js";

/** An LR frame, and how the arrays of its network lie in memory. */
export interface Layout {
  readonly width: number;
  readonly height: number;
  readonly scale: number;
  readonly channels: number;
  /** Channel by channel, not interleaved. */
  readonly planar: boolean;
}

/** Finds the motion between luma planes of one size. */
export class MotionFinder {
  private readonly flow: Flow;
  private readonly motion: Int32Array;

  constructor(private readonly layout: Layout) {
    this.flow = new Flow(layout.width, layout.height);
    this.motion = new Int32Array(2 * layout.width * layout.height);
  }

  /** Return where each LR pixel was, (H, W, 2) in SR pixels, x first; the next call reuses it. */
  since(frame: Uint8Array, before: Uint8Array): Int32Array {
    const { flow, motion } = this;
    const { scale } = this.layout;
    flow.find(frame, before);
    for (let i = 0, at = 0; i < motion.length; i += 2, at++) {
      motion[i] = Math.round(flow.u[at]! * scale);
      motion[i + 1] = Math.round(flow.v[at]! * scale);
    }
    return motion;
  }
}

/** Return the plane that motion is looked for in, in whole numbers as Python. */
export function lumaOf(pixels: Pixels, channels: number): Pixels {
  if (channels === 1) return pixels;
  const luma = new Uint8Array(pixels.length / 3);
  for (let i = 0, p = 0; i < luma.length; i++, p += 3) {
    const sum = 299 * pixels[p]! + 587 * pixels[p + 1]! + 114 * pixels[p + 2]!;
    luma[i] = Math.floor((sum + 500) / 1000);
  }
  return luma;
}

/**
 * Put the SR frame before where this frame has it, in space-to-depth order.
 *
 * Each LR pixel's block of SR pixels is taken whole from where it was, beyond the edge from the
 * edge, to channels (dy · scale + dx) · C + c.
 */
export function compensated<T extends Values>(
  sr: T,
  motion: Int32Array,
  layout: Layout,
  into: T,
): T {
  const { width, height, scale, channels, planar } = layout;
  const [wide, tall] = [width * scale, height * scale];
  const [column, channel] = planar ? [1, wide * tall] : [channels, 1];
  const [next, pixel] = planar ? [width * height, 1] : [1, scale * scale * channels];
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at++) {
      const left = clamp(x * scale + motion[2 * at]!, -scale, wide);
      const top = clamp(y * scale + motion[2 * at + 1]!, -scale, tall);
      let to = at * pixel;
      for (let dy = 0; dy < scale; dy++) {
        const row = clamp(top + dy, 0, tall - 1) * wide * column;
        for (let dx = 0; dx < scale; dx++) {
          const from = row + clamp(left + dx, 0, wide - 1) * column;
          for (let c = 0; c < channels; c++, to += next) into[to] = sr[from + c * channel]!;
        }
      }
    }
  }
  return into;
}

/** Put what stands for the SR frame before at the first: that frame, each pixel scale² times. */
export function unmoved<T extends Values>(frame: T, layout: Layout, into: T): T {
  const { width, height, scale, channels, planar } = layout;
  const area = width * height;
  if (planar) {
    for (let at = 0; at < into.length; at += frame.length) into.set(frame, at);
    return into;
  }
  for (let at = 0, to = 0; at < area; at++) {
    for (let block = 0; block < scale * scale; block++) {
      for (let c = 0; c < channels; c++, to++) into[to] = frame[at * channels + c]!;
    }
  }
  return into;
}

/** Keeps the SR frame before, and brings it to where a frame has it. */
export class PreviousSr {
  private readonly finder: MotionFinder;
  private before: { readonly luma: Pixels; readonly sr: Values } | null = null;

  /** `given` is what the network takes. */
  constructor(
    private readonly layout: Layout,
    private readonly given: Values,
  ) {
    this.finder = new MotionFinder(layout);
  }

  reset(): void {
    this.before = null;
  }

  /** Keep the SR frame of these pixels, as the network gave it. */
  keep(pixels: Pixels, sr: Values): void {
    this.before = { luma: lumaOf(pixels, this.layout.channels), sr };
  }

  /** Return what the network takes with these pixels, which are `frame` as it takes them. */
  at(pixels: Pixels, frame: Values): Values {
    const { before, layout, given } = this;
    if (!before) return unmoved(frame, layout, given);
    const motion = this.finder.since(lumaOf(pixels, layout.channels), before.luma);
    compensated(before.sr, motion, layout, given);
    if (given instanceof Float32Array) {
      for (let i = 0; i < given.length; i++) given[i] = clamp(given[i]!, 0, 1);
    }
    return given;
  }
}

function clamp(value: number, least: number, most: number): number {
  return value < least ? least : value > most ? most : value;
}
