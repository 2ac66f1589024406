/** The SR frame before, moved to where the frame now has it, as `edgevsr.alignment` does it. */

import type { Values } from "./engine.js";

/** An LR frame, and how the arrays of its network lie in memory. */
export interface Layout {
  readonly width: number;
  readonly height: number;
  readonly scale: number;
  readonly channels: number;
  /** Channel by channel, not interleaved. */
  readonly planar: boolean;
}

/** Return how finely motion is undone: to quarters of an SR pixel, to whole ones at ×4. */
export function stepsPerPixel(scale: number): number {
  return scale >= 4 ? 1 : 4;
}

/**
 * Put the SR frame before where this frame has it, in space-to-depth order.
 *
 * Each LR pixel's block of SR pixels is taken whole from where it was, beyond the edge from the
 * edge, to channels (dy · scale + dx) · C + c. A quarter of the way between pixels is the mean of
 * the halves before and behind; of codes, rounded down.
 */
export function compensated<T extends Values>(
  sr: T,
  motion: Int32Array,
  layout: Layout,
  into: T,
): T {
  const { width, height, scale, channels, planar } = layout;
  const half = stepsPerPixel(scale) > 1 ? 1 : 0;
  const pace = scale * stepsPerPixel(scale);
  const margin = scale + half;
  const [wide, tall] = [width * scale + 2 * margin, height * scale + 2 * margin];
  const [next, pixel] = planar ? [width * height, 1] : [1, scale * scale * channels];
  const mean = sr instanceof Float32Array ? meanOf : meanDown;
  const planes = emptyLike(sr, wide * tall * (half ? 4 : 1));
  for (let c = 0; c < channels; c++) {
    grow(sr, c, layout, margin, planes);
    if (half) addHalves(planes, wide, wide * tall);
    for (let y = 0, at = 0; y < height; y++) {
      for (let x = 0; x < width; x++, at++) {
        const right = clamp(x * pace + motion[2 * at]!, -pace, width * pace);
        const down = clamp(y * pace + motion[2 * at + 1]!, -pace, height * pace);
        let first = begin(right >> half, down >> half);
        let second = half ? begin((right + 1) >> 1, (down + 1) >> 1) : first;
        let to = at * pixel + c * next;
        for (let dy = 0; dy < scale; dy++, first += wide, second += wide) {
          for (let dx = 0; dx < scale; dx++, to += next * channels) {
            const value = planes[first + dx]!;
            into[to] = half ? mean(value, planes[second + dx]!) : value;
          }
        }
      }
    }
  }
  return into;

  /** Return where a block begins: in whole pixels, or in halves, among four planes. */
  function begin(right: number, down: number): number {
    if (!half) return (down + margin) * wide + right + margin;
    const plane = (down & 1) * 2 + (right & 1);
    return (plane * tall + (down >> 1) + margin) * wide + (right >> 1) + margin;
  }
}

/** Put a channel of the SR frame into `planes`, its edges repeated `margin` times. */
function grow(sr: Values, channel: number, layout: Layout, margin: number, planes: Values): void {
  const { width, height, scale, channels, planar } = layout;
  const [wide, tall] = [width * scale, height * scale];
  const [step, begin] = planar ? [1, channel * wide * tall] : [channels, channel];
  for (let y = -margin, to = 0; y < tall + margin; y++) {
    const row = begin + clamp(y, 0, tall - 1) * wide * step;
    for (let x = -margin; x < wide + margin; x++, to++) {
      planes[to] = sr[row + clamp(x, 0, wide - 1) * step]!;
    }
  }
}

/** Put behind a plane of `size` values itself half a pixel to the right, further down, and both. */
function addHalves(planes: Values, wide: number, size: number): void {
  halfWay(planes, 0, 1, size, size);
  halfWay(planes, 0, wide, 2 * size, size);
  halfWay(planes, size, wide, 3 * size, size);
}

/** Put what lies between every value from `from` on and the one `apart` behind it to `to`. */
function halfWay(planes: Values, from: number, apart: number, to: number, size: number): void {
  const { fround } = Math;
  const isFloat = planes instanceof Float32Array;
  const [least, most] = planes instanceof Int8Array ? [-128, 127] : [0, 255];
  for (let i = apart; i < size - 2 * apart; i++) {
    const at = from + i;
    const near = planes[at]! + planes[at + apart]!;
    const far = planes[at - apart]! + planes[at + 2 * apart]!;
    if (isFloat) {
      const value = fround(fround(near) * (9 / 16)) - fround(fround(far) * (1 / 16));
      planes[to + i] = clamp(value, 0, 1);
    } else {
      planes[to + i] = clamp((9 * near - far + 8) >> 4, least, most);
    }
  }
}

function emptyLike(values: Values, length: number): Values {
  if (values instanceof Float32Array) return new Float32Array(length);
  return values instanceof Int8Array ? new Int8Array(length) : new Uint8Array(length);
}

function meanOf(one: number, other: number): number {
  return Math.fround(one + other) / 2;
}

function meanDown(one: number, other: number): number {
  return (one + other) >> 1;
}

export function clamp(value: number, least: number, most: number): number {
  return value < least ? least : value > most ? most : value;
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
