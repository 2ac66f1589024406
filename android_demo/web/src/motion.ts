/** Where pixels were in the frame before. */

import { type Layout, clamp, compensated, stepsPerPixel, unmoved } from "./alignment.js";
import type { Pixels } from "./card.js";
import type { Values } from "./engine.js";
import { Flow } from "./flow.js";

/** Finds the motion between luma planes of one size. */
export class MotionFinder {
  private readonly flow: Flow;
  private readonly motion: Int32Array;

  constructor(private readonly layout: Layout) {
    // Where steps are fractions of SR pixels, so much more of the motion counts.
    this.flow = new Flow(layout.width, layout.height, stepsPerPixel(layout.scale) > 1);
    this.motion = new Int32Array(2 * layout.width * layout.height);
  }

  /**
   * Return where each LR pixel was, (H, W, 2), x first, in steps of which an SR pixel has
   * `stepsPerPixel`; the next call reuses it.
   */
  since(frame: Uint8Array, before: Uint8Array): Int32Array {
    const { flow, motion } = this;
    const { scale } = this.layout;
    const steps = scale * stepsPerPixel(scale);
    flow.find(frame, before);
    for (let i = 0, at = 0; i < motion.length; i += 2, at++) {
      motion[i] = Math.round(flow.u[at]! * steps);
      motion[i + 1] = Math.round(flow.v[at]! * steps);
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
    const seen = sr instanceof Float32Array ? sr.map((value) => clamp(value, 0, 1)) : sr;
    this.before = { luma: lumaOf(pixels, this.layout.channels), sr: seen };
  }

  /** Return what the network takes with these pixels, which are `frame` as it takes them. */
  at(pixels: Pixels, frame: Values): Values {
    const { before, layout, given } = this;
    if (!before) return unmoved(frame, layout, given);
    const motion = this.finder.since(lumaOf(pixels, layout.channels), before.luma);
    return compensated(before.sr, motion, layout, given);
  }
}
