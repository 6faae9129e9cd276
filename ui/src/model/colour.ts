/** A service keeps its colour from page to page; in one trace no two share one while colours last. Pure. */

/** As many as `--series-0` ... in style/tokens.css. */
export const COLOURS = 12;

export function colourOf(service: string): number {
  let hash = 0x811c9dc5; // FNV-1a
  for (let i = 0; i < service.length; i += 1) hash = Math.imul(hash ^ service.charCodeAt(i), 0x01000193);
  return (hash >>> 0) % COLOURS;
}

export function coloursOf(services: readonly string[]): Map<string, number> {
  const taken = new Set<number>();
  const colours = new Map<string, number>();
  for (const service of [...services].sort()) {
    let colour = colourOf(service);
    while (taken.has(colour) && taken.size < COLOURS) colour = (colour + 1) % COLOURS;
    taken.add(colour);
    colours.set(service, colour);
  }
  return colours;
}
