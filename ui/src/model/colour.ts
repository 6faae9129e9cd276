/** Which colour a service has. */

/** As many as `--series-0` ... in style/tokens.css. */
export const COLOURS = 12;

/** A service keeps its colour from page to page, and no two share one while colours last. */
export class Palette {
  private readonly given = new Map<string, number>();

  /** The index of its colour: by its name where that is free, so that most stay the same from visit to visit. */
  of(service: string): number {
    const known = this.given.get(service);
    if (known !== undefined) return known;
    let colour = hash(service) % COLOURS;
    const taken = new Set(this.given.values());
    while (taken.has(colour) && taken.size < COLOURS) colour = (colour + 1) % COLOURS;
    this.given.set(service, colour);
    return colour;
  }
}

export const palette = new Palette();

/** FNV-1a, 32 bits. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let i = 0; i < text.length; i += 1) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193);
  return value >>> 0;
}
