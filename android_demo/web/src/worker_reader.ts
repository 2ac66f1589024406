/** The worker that reads images, so that the network's own worker never waits for pixels. */

import { PlainError, plain } from "./errors.js";
import { type Picture, lumaOf, resizePicture, rgbOf } from "./pixels.js";
import type { FrameImage, ReadReply, ReadRequest } from "./protocol.js";

const scope = self as unknown as {
  onmessage: (event: MessageEvent<ReadRequest>) => void;
  postMessage(message: ReadReply, transfer?: Transferable[]): void;
};

const canvases = new Map<string, OffscreenCanvasRenderingContext2D>();

scope.onmessage = ({ data }) => {
  try {
    const reply = answer(data);
    const { luma, rgb, truth } = reply.read!;
    const arrays = [reply.lr, luma, rgb, truth].filter((array) => array !== null);
    scope.postMessage(reply, arrays.map(({ buffer }) => buffer));
  } catch (error) {
    const lr = new Uint8ClampedArray();
    const message = plain(error);
    scope.postMessage({ id: data.id, message, read: null, lr, uploadMs: 0, from: "" });
  } finally {
    data.image.close();
  }
};

function answer({ id, image, card, simulate }: ReadRequest): ReadReply {
  const started = performance.now();
  const { width, height, scale } = card;
  const hr = simulate ? read(image, width * scale, height * scale) : null;
  const lr = hr ? resizePicture(hr, width, height) : read(image, width, height);
  const luma = lumaOf(lr.rgba);
  const rgb = card.colour === "rgb" ? rgbOf(lr.rgba) : null;
  const truth = hr && lumaOf(hr.rgba);
  return {
    id,
    message: null,
    read: { luma, rgb, truth },
    lr: lr.rgba,
    uploadMs: performance.now() - started,
    from: `${widthOf(image)}×${heightOf(image)}`,
  };
}

/** Return the image at a size; what does not fit its shape is cut off on both sides. */
function read(image: FrameImage, width: number, height: number): Picture {
  const context = canvas(width, height);
  const [from, rows] = [widthOf(image), heightOf(image)];
  const factor = Math.max(width / from, height / rows);
  const [w, h] = [width / factor, height / factor];
  context.drawImage(image, (from - w) / 2, (rows - h) / 2, w, h, 0, 0, width, height);
  const { data } = context.getImageData(0, 0, width, height);
  return { rgba: data as Uint8ClampedArray<ArrayBuffer>, width, height };
}

function canvas(width: number, height: number): OffscreenCanvasRenderingContext2D {
  const key = `${width}x${height}`;
  const known = canvases.get(key);
  if (known) return known;
  const options = { alpha: false, willReadFrequently: true };
  const context = new OffscreenCanvas(width, height).getContext("2d", options);
  if (!context) throw new PlainError("This browser cannot read frames (no canvas in workers).");
  context.imageSmoothingQuality = "high";
  canvases.set(key, context);
  return context;
}

function widthOf(image: FrameImage): number {
  return "displayWidth" in image ? image.displayWidth : image.width;
}

function heightOf(image: FrameImage): number {
  return "displayHeight" in image ? image.displayHeight : image.height;
}
