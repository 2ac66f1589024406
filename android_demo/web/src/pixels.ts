/** Pixels on the processor: luma, the bicubic of the papers, PSNR. */

import type { Pixels } from "./card.js";

export interface Picture {
  /** RGBA, four bytes a pixel. */
  readonly rgba: Uint8ClampedArray<ArrayBuffer>;
  readonly width: number;
  readonly height: number;
}

/** Return the 8-bit luma, 16 to 235, of RGBA. Source: ITU-R BT.601. */
export function lumaOf(rgba: Uint8ClampedArray): Pixels {
  const luma = new Uint8Array(rgba.length >> 2);
  for (let i = 0, p = 0; i < luma.length; i++, p += 4) {
    luma[i] =
      16.5 +
      (65.481 * rgba[p]! + 128.553 * rgba[p + 1]! + 24.966 * rgba[p + 2]!) / 255;
  }
  return luma;
}

/** Return interleaved RGB of RGBA. */
export function rgbOf(rgba: Uint8ClampedArray): Pixels {
  const rgb = new Uint8Array((rgba.length >> 2) * 3);
  for (let i = 0, p = 0; i < rgb.length; i += 3, p += 4) {
    rgb[i] = rgba[p]!;
    rgb[i + 1] = rgba[p + 1]!;
    rgb[i + 2] = rgba[p + 2]!;
  }
  return rgb;
}

/** Put new luma into RGBA in place; the colour differences stay. */
export function putLuma(rgba: Uint8ClampedArray, luma: Uint8Array): void {
  for (let i = 0, p = 0; i < luma.length; i++, p += 4) {
    const r = rgba[p]!;
    const g = rgba[p + 1]!;
    const b = rgba[p + 2]!;
    const step =
      (luma[i]! - 16) * (255 / 219) - (65.481 * r + 128.553 * g + 24.966 * b) / 219;
    rgba[p] = r + step;
    rgba[p + 1] = g + step;
    rgba[p + 2] = b + step;
  }
}

interface Taps {
  readonly first: Int32Array;
  readonly weights: Float32Array;
  readonly count: number;
}

function cubic(x: number): number {
  const a = Math.abs(x);
  if (a <= 1) return (1.5 * a - 2.5) * a * a + 1;
  return a < 2 ? ((-0.5 * a + 2.5) * a - 4) * a + 2 : 0;
}

/** Return the taps of one axis: Keys' cubic, widened by the factor when the picture shrinks. */
function tapsOf(from: number, to: number): Taps {
  const ratio = to / from;
  const stretch = Math.max(1, 1 / ratio);
  const count = Math.ceil(4 * stretch) + 1;
  const first = new Int32Array(to);
  const weights = new Float32Array(to * count);
  for (let i = 0; i < to; i++) {
    const centre = (i + 0.5) / ratio - 0.5;
    const start = Math.ceil(centre - 2 * stretch);
    first[i] = start;
    let sum = 0;
    for (let k = 0; k < count; k++) {
      const weight = cubic((centre - start - k) / stretch);
      weights[i * count + k] = weight;
      sum += weight;
    }
    for (let k = 0; k < count; k++) weights[i * count + k]! /= sum;
  }
  return { first, weights, count };
}

/** Index of a pixel beyond the edge, mirrored as MATLAB's imresize does. */
function mirrored(index: number, side: number): number {
  const period = 2 * side;
  const wrapped = ((index % period) + period) % period;
  return wrapped < side ? wrapped : period - 1 - wrapped;
}

/** Return a plane at another size by antialiased bicubic, rounded. Source: MATLAB imresize. */
export function resizePlane(
  plane: Uint8Array | Uint8ClampedArray,
  from: { width: number; height: number },
  to: { width: number; height: number },
): Pixels {
  const rows = resizeColumns(plane, from.width, from.height, to.height);
  const taps = tapsOf(from.width, to.width);
  const out = new Uint8ClampedArray(to.width * to.height);
  const indices = indicesOf(taps, from.width);
  for (let y = 0; y < to.height; y++) {
    const row = y * from.width;
    for (let x = 0; x < to.width; x++) {
      let sum = 0;
      for (let k = x * taps.count; k < (x + 1) * taps.count; k++)
        sum += taps.weights[k]! * rows[row + indices[k]!]!;
      out[y * to.width + x] = Math.floor(sum + 0.5);
    }
  }
  return new Uint8Array(out.buffer);
}

function resizeColumns(
  plane: Uint8Array | Uint8ClampedArray,
  width: number,
  height: number,
  to: number,
): Float32Array {
  const taps = tapsOf(height, to);
  const indices = indicesOf(taps, height);
  const out = new Float32Array(width * to);
  for (let y = 0; y < to; y++) {
    for (let k = y * taps.count; k < (y + 1) * taps.count; k++) {
      const weight = taps.weights[k]!;
      if (weight === 0) continue;
      const row = indices[k]! * width;
      for (let x = 0; x < width; x++) out[y * width + x]! += weight * plane[row + x]!;
    }
  }
  return out;
}

function indicesOf(taps: Taps, side: number): Int32Array {
  return Int32Array.from(taps.weights, (_, at) =>
    mirrored(taps.first[Math.floor(at / taps.count)]! + (at % taps.count), side),
  );
}

/** Return the picture at another size, each channel by `resizePlane`. */
export function resizePicture(picture: Picture, width: number, height: number): Picture {
  const rgba = new Uint8ClampedArray(width * height * 4).fill(255);
  const plane = new Uint8Array(picture.width * picture.height);
  for (let channel = 0; channel < 3; channel++) {
    for (let i = 0; i < plane.length; i++) plane[i] = picture.rgba[i * 4 + channel]!;
    const small = resizePlane(plane, picture, { width, height });
    for (let i = 0; i < small.length; i++) rgba[i * 4 + channel] = small[i]!;
  }
  return { rgba, width, height };
}

/** Return PSNR in dB over 8-bit planes, `border` pixels left out on every side; null if equal. */
export function psnrDb(
  one: Uint8Array,
  other: Uint8Array,
  width: number,
  border: number,
): number | null {
  const height = one.length / width;
  let sum = 0;
  for (let y = border; y < height - border; y++) {
    for (let x = border; x < width - border; x++) {
      const difference = one[y * width + x]! - other[y * width + x]!;
      sum += difference * difference;
    }
  }
  const count = (width - 2 * border) * (height - 2 * border);
  return sum === 0 ? null : 10 * Math.log10((255 * 255 * count) / sum);
}
