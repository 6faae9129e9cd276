import { palette } from "../model/colour";

/** A service's name behind its dot of colour. */
export function ServiceName({ name }: { name: string }) {
  return (
    <span class="service">
      <i class={`chip c${palette.of(name)}`} />
      {name || <em>unnamed</em>}
    </span>
  );
}
