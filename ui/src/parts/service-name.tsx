import { colourOf } from "../model/colour";

/** A service's name behind its dot of colour. */
export function ServiceName({ name, colour }: { name: string; colour?: number | undefined }) {
  return (
    <span class="service">
      <i class={`chip c${colour ?? colourOf(name)}`} />
      {name || <em>unnamed</em>}
    </span>
  );
}
