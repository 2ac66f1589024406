/** Split, zoom and pan: by pointer, by touch and by keyboard. */

import type { View } from "./view.js";

export interface Stage {
  readonly screen: HTMLElement;
  readonly divider: HTMLElement;
  readonly view: View;
  aspect(): number;
  changed(): void;
}

export function control(stage: Stage): void {
  controlSplit(stage);
  controlPicture(stage);
  controlKeys(stage);
}

export function setSplit(stage: Stage, split: number): void {
  const { divider, view, changed } = stage;
  view.split = Math.min(Math.max(split, 0), 1);
  const percent = Math.round(view.split * 100);
  divider.style.left = `${view.split * 100}%`;
  divider.setAttribute("aria-valuenow", String(percent));
  divider.setAttribute("aria-valuetext", `${percent} % bicubic, ${100 - percent} % super-resolved`);
  // A label that stands on the other picture would be wrong.
  const { width } = stage.screen.getBoundingClientRect();
  for (const [side, room] of [["left", view.split], ["right", 1 - view.split]] as const) {
    const tag = stage.screen.querySelector<HTMLElement>(`.tag.${side}`)!;
    tag.classList.toggle("covered", room * width < tag.offsetWidth + 10);
  }
  changed();
}

function controlSplit(stage: Stage): void {
  const { divider, screen, view } = stage;
  divider.addEventListener("pointerdown", (event) => {
    event.stopPropagation();
    divider.setPointerCapture(event.pointerId);
  });
  divider.addEventListener("pointermove", (event) => {
    if (!divider.hasPointerCapture(event.pointerId)) return;
    const { left, width } = screen.getBoundingClientRect();
    setSplit(stage, (event.clientX - left) / width);
  });
  const steps: Record<string, () => number> = {
    ArrowLeft: () => view.split - 0.02,
    ArrowRight: () => view.split + 0.02,
    PageDown: () => view.split - 0.1,
    PageUp: () => view.split + 0.1,
    Home: () => 0,
    End: () => 1,
  };
  divider.addEventListener("keydown", (event) => {
    const step = steps[event.key];
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();
    setSplit(stage, step());
  });
}

function controlPicture(stage: Stage): void {
  const { screen, view } = stage;
  const fingers = new Map<number, PointerEvent>();
  const box = () => screen.getBoundingClientRect();
  const zoom = (factor: number, x: number, y: number) => {
    const rect = box();
    view.zoomAt(factor, x - rect.left, y - rect.top, rect, stage.aspect());
    stage.changed();
  };
  screen.addEventListener("pointerdown", (event) => {
    fingers.set(event.pointerId, event);
    screen.setPointerCapture(event.pointerId);
  });
  screen.addEventListener("pointermove", (event) => {
    const before = fingers.get(event.pointerId);
    if (!before) return;
    const other = [...fingers.values()].find((each) => each.pointerId !== event.pointerId);
    if (other) {
      const factor = distance(event, other) / Math.max(distance(before, other), 1);
      zoom(factor, (event.clientX + other.clientX) / 2, (event.clientY + other.clientY) / 2);
    } else {
      const [dx, dy] = [event.clientX - before.clientX, event.clientY - before.clientY];
      view.pan(dx, dy, box(), stage.aspect());
      stage.changed();
    }
    fingers.set(event.pointerId, event);
  });
  for (const end of ["pointerup", "pointercancel"] as const)
    screen.addEventListener(end, (event) => fingers.delete(event.pointerId));
  screen.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      zoom(Math.exp(-event.deltaY / 300), event.clientX, event.clientY);
    },
    { passive: false },
  );
  screen.addEventListener("dblclick", (event) => {
    if (view.zoom > 1) view.reset();
    else zoom(4, event.clientX, event.clientY);
    stage.changed();
  });
}

function controlKeys(stage: Stage): void {
  const { screen, view } = stage;
  const pan: Record<string, [number, number]> = {
    ArrowLeft: [40, 0],
    ArrowRight: [-40, 0],
    ArrowUp: [0, 40],
    ArrowDown: [0, -40],
  };
  screen.addEventListener("keydown", (event) => {
    const rect = screen.getBoundingClientRect();
    const by = pan[event.key];
    const factor = event.key === "+" || event.key === "=" ? 1.25 : event.key === "-" ? 0.8 : 0;
    if (by) view.pan(...by, rect, stage.aspect());
    else if (factor) view.zoomAt(factor, rect.width / 2, rect.height / 2, rect, stage.aspect());
    else return;
    event.preventDefault();
    stage.changed();
  });
}

function distance(one: PointerEvent, other: PointerEvent): number {
  return Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY);
}
