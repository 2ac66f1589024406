/** Where the picture lies on the canvas, and where it is split. */

export interface Rect {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

const MAX_ZOOM = 16;

export class View {
  /** Share of the canvas that shows bicubic, from the left. */
  split = 0.5;
  zoom = 1;
  private centre = { x: 0.5, y: 0.5 };

  /** Return where the whole picture lies on a canvas, in its pixels. */
  place(canvas: { width: number; height: number }, aspect: number): Rect {
    const fit = Math.min(canvas.width, canvas.height * aspect);
    const width = fit * this.zoom;
    const height = width / aspect;
    this.clamp(canvas, width, height);
    return {
      x: canvas.width / 2 - this.centre.x * width,
      y: canvas.height / 2 - this.centre.y * height,
      width,
      height,
    };
  }

  /** Zoom so that the point of the canvas at (x, y) stays where it is. */
  zoomAt(factor: number, x: number, y: number, canvas: DOMRect, aspect: number): void {
    const before = this.place(canvas, aspect);
    const zoom = Math.min(Math.max(this.zoom * factor, 1), MAX_ZOOM);
    const [u, v] = [(x - before.x) / before.width, (y - before.y) / before.height];
    const grown = zoom / this.zoom;
    this.zoom = zoom;
    this.centre = {
      x: u + (canvas.width / 2 - x) / (before.width * grown),
      y: v + (canvas.height / 2 - y) / (before.height * grown),
    };
  }

  /** Move the picture by pixels of the canvas. */
  pan(dx: number, dy: number, canvas: { width: number; height: number }, aspect: number): void {
    const { width, height } = this.place(canvas, aspect);
    this.centre = { x: this.centre.x - dx / width, y: this.centre.y - dy / height };
  }

  reset(): void {
    this.zoom = 1;
    this.centre = { x: 0.5, y: 0.5 };
  }

  private clamp(canvas: { width: number; height: number }, width: number, height: number): void {
    const within = (value: number, room: number) =>
      room >= 1 ? 0.5 : Math.min(Math.max(value, room / 2), 1 - room / 2);
    this.centre = {
      x: within(this.centre.x, canvas.width / width),
      y: within(this.centre.y, canvas.height / height),
    };
  }
}
