/** The networks on offer: each in the formats and sizes that it was exported in. */

import { type Card, MAX_CARD_BYTES, MAX_NET_BYTES, parseCard } from "./card.js";
import { PlainError } from "./errors.js";

export interface Entry {
  readonly card: Card;
  load(): Promise<ArrayBuffer>;
}

export class Catalogue {
  private readonly entries: Entry[] = [];

  /** Add every network that the server lists. */
  async fetch(base: string): Promise<void> {
    const names: unknown = await (await get(`${base}index.json`)).json();
    if (!Array.isArray(names)) throw new PlainError("The list of networks is damaged.");
    const cards = names.filter((name): name is string => /^[\w.-]+\.json$/.test(String(name)));
    const found = await Promise.all(
      cards.map(async (name) => parseCard(await (await get(base + name)).text(), name)),
    );
    for (const card of found)
      this.add({ card, load: async () => (await get(base + card.file)).arrayBuffer() });
  }

  /** Add a network, in the place of one of the same name, size and format. Returns its name. */
  add(entry: Entry): string {
    const same = this.entries.findIndex(
      ({ card }) =>
        nameOf(card) === nameOf(entry.card) &&
        sizeOf(card) === sizeOf(entry.card) &&
        card.format === entry.card.format,
    );
    if (same >= 0) this.entries.splice(same, 1);
    this.entries.push(entry);
    return nameOf(entry.card);
  }

  names(): string[] {
    return [...new Set(this.entries.map(({ card }) => nameOf(card)))];
  }

  sizes(name: string): string[] {
    return [...new Set(this.of(name).map(({ card }) => sizeOf(card)))];
  }

  /** Return a network's files, of one size where it is given. */
  of(name: string, size?: string): Entry[] {
    return this.entries.filter(
      ({ card }) => nameOf(card) === name && (size === undefined || sizeOf(card) === size),
    );
  }
}

export function nameOf(card: Card): string {
  const extra = card.colour === "rgb" && !card.net.includes("rgb") ? " rgb" : "";
  return `${card.net}${extra} ×${card.scale} ${card.precision}`;
}

export function sizeOf(card: Card): string {
  return `${card.width}×${card.height}`;
}

/** Return the networks among files that were picked or dropped, each with its card. */
export async function netsAmong(files: readonly File[]): Promise<Entry[]> {
  const nets = files.filter((file) => /\.(onnx|tflite)$/i.test(file.name));
  const cards = files.filter((file) => /\.json$/i.test(file.name));
  if (nets.length === 0 && cards.length === 0) return [];
  const entries: Entry[] = [];
  for (const file of cards) {
    if (file.size > MAX_CARD_BYTES)
      throw new PlainError(`${file.name} is too large to be a card: at most 4 MiB are read.`);
    const card = parseCard(await file.text(), file.name);
    const net =
      nets.find(({ name }) => name === card.file) ??
      (nets.length === 1 && cards.length === 1 ? nets[0] : undefined);
    if (!net)
      throw new PlainError(`${file.name} is the card of ${card.file}: choose both files together.`);
    if (net.size > MAX_NET_BYTES)
      throw new PlainError(`${net.name} is too large: at most 256 MiB are opened here.`);
    if (!net.name.toLowerCase().endsWith(`.${card.format}`))
      throw new PlainError(`${file.name} is the card of a .${card.format}, not of ${net.name}.`);
    entries.push({ card, load: () => net.arrayBuffer() });
  }
  const [alone] = nets;
  if (alone && entries.length === 0)
    throw new PlainError(
      `${alone.name} needs its card: choose it together with the .json that edgevsr export wrote.`,
    );
  return entries;
}

async function get(url: string): Promise<Response> {
  const response = await fetch(url);
  if (!response.ok) throw new PlainError(`${url} is missing (${response.status}).`);
  return response;
}
