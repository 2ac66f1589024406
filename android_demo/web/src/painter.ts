/** Draws bicubic and SR side by side: with WebGL where there is one, else on a plain canvas. */

import { putLuma } from "./pixels.js";
import type { Rect, View } from "./view.js";

export interface Frame {
  /** RGBA of the LR frame. */
  readonly lr: Uint8ClampedArray<ArrayBuffer>;
  readonly width: number;
  readonly height: number;
  readonly scale: number;
  /** SR luma, or RGBA. */
  readonly sr: Uint8Array<ArrayBuffer>;
}

export interface Painter {
  readonly name: string;
  /** Take a new frame. */
  put(frame: Frame): void;
  /** Draw the frame as the view has it. */
  paint(view: View): void;
}

/** WebGL where a GPU does it; emulated, it is slower than a plain canvas. */
export function makePainter(canvas: HTMLCanvasElement): Painter {
  const trial = webgl(document.createElement("canvas"), { failIfMajorPerformanceCaveat: true });
  const about = trial?.getExtension("WEBGL_debug_renderer_info");
  const renderer = String(about && trial?.getParameter(about.UNMASKED_RENDERER_WEBGL));
  trial?.getExtension("WEBGL_lose_context")?.loseContext();
  const emulated = !trial || /swiftshader|llvmpipe|software|basic render/i.test(renderer);
  const wanted = new URLSearchParams(location.search).get("painter");
  if (wanted === "webgl" || (!emulated && wanted !== "canvas")) {
    const gl = webgl(canvas, { alpha: false, antialias: false, preserveDrawingBuffer: true });
    if (gl) return new GlPainter(canvas, gl);
  }
  return new FlatPainter(canvas, canvas.getContext("2d", { alpha: false })!);
}

function webgl(
  canvas: HTMLCanvasElement,
  options: WebGLContextAttributes,
): WebGL2RenderingContext | null {
  return canvas.getContext("webgl2", options) as WebGL2RenderingContext | null;
}

const VERTEX = `#version 300 es
out vec2 at;
void main() {
  vec2 corner = vec2(gl_VertexID & 1, gl_VertexID >> 1);
  at = corner;
  gl_Position = vec4(corner * 2.0 - 1.0, 0.0, 1.0);
}`;

// Colour comes from the LR frame by Keys' cubic; SR replaces its luma and keeps the differences.
const FRAGMENT = `#version 300 es
precision highp float;
uniform sampler2D lr, sr;
uniform vec4 place;
uniform vec2 canvas;
uniform float split;
uniform bool luma;
in vec2 at;
out vec4 colour;
vec4 cubic(float t) {
  float t2 = t * t, t3 = t2 * t;
  return 0.5 * vec4(-t + 2.0 * t2 - t3, 2.0 - 5.0 * t2 + 3.0 * t3,
                    t + 4.0 * t2 - 3.0 * t3, t3 - t2);
}
vec3 bicubic(vec2 p) {
  ivec2 side = textureSize(lr, 0);
  vec2 q = p * vec2(side) - 0.5, base = floor(q);
  vec4 wx = cubic(q.x - base.x), wy = cubic(q.y - base.y);
  vec3 sum = vec3(0.0);
  for (int j = 0; j < 4; j++)
    for (int i = 0; i < 4; i++)
      sum += wx[i] * wy[j]
        * texelFetch(lr, clamp(ivec2(base) + ivec2(i - 1, j - 1), ivec2(0), side - 1), 0).rgb;
  return sum;
}
void main() {
  vec2 pixel = vec2(at.x, 1.0 - at.y) * canvas;
  vec2 p = (pixel - place.xy) / place.zw;
  if (any(lessThan(p, vec2(0.0))) || any(greaterThan(p, vec2(1.0)))) {
    colour = vec4(0.0, 0.0, 0.0, 1.0);
    return;
  }
  vec3 rgb = bicubic(p);
  if (at.x >= split) {
    vec4 made = texture(sr, p);
    float y = dot(rgb, vec3(65.481, 128.553, 24.966)) / 255.0 + 16.0 / 255.0;
    rgb = luma ? rgb + (made.r - y) * (255.0 / 219.0) : made.rgb;
  }
  colour = vec4(rgb, 1.0);
}`;

class GlPainter implements Painter {
  readonly name = "WebGL";
  private program: WebGLProgram;
  private frame: Frame | null = null;

  constructor(
    private readonly canvas: HTMLCanvasElement,
    private readonly gl: WebGL2RenderingContext,
  ) {
    this.program = this.build();
    canvas.addEventListener("webglcontextlost", (event) => event.preventDefault());
    canvas.addEventListener("webglcontextrestored", () => {
      this.program = this.build();
      if (this.frame) this.put(this.frame);
    });
  }

  private build(): WebGLProgram {
    const { gl } = this;
    const program = gl.createProgram();
    for (const [kind, text] of [
      [gl.VERTEX_SHADER, VERTEX],
      [gl.FRAGMENT_SHADER, FRAGMENT],
    ] as const) {
      const shader = gl.createShader(kind)!;
      gl.shaderSource(shader, text);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    gl.useProgram(program);
    gl.uniform1i(gl.getUniformLocation(program, "sr"), 1);
    for (const unit of [0, 1]) {
      gl.activeTexture(gl.TEXTURE0 + unit);
      gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
      gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.LINEAR);
      gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_S, gl.CLAMP_TO_EDGE);
      gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_T, gl.CLAMP_TO_EDGE);
    }
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
    return program;
  }

  put(frame: Frame): void {
    const { gl } = this;
    this.frame = frame;
    const { width, height, scale, lr, sr } = frame;
    const bytes = new Uint8Array(lr.buffer);
    gl.activeTexture(gl.TEXTURE0);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA8, width, height, 0, gl.RGBA, gl.UNSIGNED_BYTE, bytes);
    const luma = isLuma(frame);
    const [inside, format] = luma ? [gl.R8, gl.RED] : [gl.RGBA8, gl.RGBA];
    const [w, h] = [width * scale, height * scale];
    gl.activeTexture(gl.TEXTURE1);
    gl.texImage2D(gl.TEXTURE_2D, 0, inside, w, h, 0, format, gl.UNSIGNED_BYTE, sr);
  }

  paint(view: View): void {
    const { gl, canvas, program, frame } = this;
    if (!frame) return;
    const { x, y, width, height } = view.place(canvas, frame.width / frame.height);
    const at = (name: string) => gl.getUniformLocation(program, name);
    gl.viewport(0, 0, canvas.width, canvas.height);
    gl.uniform4f(at("place"), x, y, width, height);
    gl.uniform2f(at("canvas"), canvas.width, canvas.height);
    gl.uniform1f(at("split"), view.split);
    gl.uniform1i(at("luma"), isLuma(frame) ? 1 : 0);
    const magnified = width > 2 * frame.width * frame.scale;
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, magnified ? gl.NEAREST : gl.LINEAR);
    gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
  }
}

class FlatPainter implements Painter {
  readonly name = "canvas";
  private readonly lr = document.createElement("canvas").getContext("2d", { alpha: false })!;
  private readonly sr = document
    .createElement("canvas")
    .getContext("2d", { alpha: false, willReadFrequently: true })!;
  private frame: Frame | null = null;

  constructor(
    private readonly canvas: HTMLCanvasElement,
    private readonly context: CanvasRenderingContext2D,
  ) {}

  put(frame: Frame): void {
    this.frame = frame;
    const [w, h] = [frame.width * frame.scale, frame.height * frame.scale];
    resize(this.lr.canvas, frame.width, frame.height);
    resize(this.sr.canvas, w, h);
    this.lr.putImageData(new ImageData(frame.lr, frame.width, frame.height), 0, 0);
    if (!isLuma(frame)) {
      this.sr.putImageData(new ImageData(new Uint8ClampedArray(frame.sr.buffer), w, h), 0, 0);
      return;
    }
    this.sr.imageSmoothingQuality = "high";
    this.sr.drawImage(this.lr.canvas, 0, 0, w, h);
    const picture = this.sr.getImageData(0, 0, w, h);
    putLuma(picture.data, frame.sr);
    this.sr.putImageData(picture, 0, 0);
  }

  paint(view: View): void {
    const { canvas, context, frame } = this;
    if (!frame) return;
    const place = view.place(canvas, frame.width / frame.height);
    const edge = Math.round(view.split * canvas.width);
    context.fillStyle = "#000";
    context.fillRect(0, 0, canvas.width, canvas.height);
    this.draw(this.lr.canvas, place, 0, edge, true);
    const magnified = place.width > 2 * frame.width * frame.scale;
    this.draw(this.sr.canvas, place, edge, canvas.width, !magnified);
  }

  private draw(from: HTMLCanvasElement, to: Rect, left: number, right: number, smooth: boolean) {
    const { context, canvas } = this;
    context.save();
    context.beginPath();
    context.rect(left, 0, right - left, canvas.height);
    context.clip();
    context.imageSmoothingEnabled = smooth;
    context.imageSmoothingQuality = "high";
    context.drawImage(from, to.x, to.y, to.width, to.height);
    context.restore();
  }
}

function isLuma(frame: Frame): boolean {
  return frame.sr.length === frame.width * frame.height * frame.scale ** 2;
}

function resize(canvas: HTMLCanvasElement, width: number, height: number): void {
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
}
