/** Attributes as a table: name, value, type. */
import { text, typeOf } from "../model/format";
import type { Attributes, Value } from "../model/types";

export function Fields({ of, title }: { of: Attributes; title?: string }) {
  const names = Object.keys(of).sort();
  if (names.length === 0) return null;
  return (
    <section class="fields">
      {title && <h4>{title} <small>{names.length}</small></h4>}
      <dl>
        {names.map((name) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd><FieldValue value={of[name]!} /></dd>
          </div>
        ))}
      </dl>
    </section>
  );
}

function FieldValue({ value }: { value: Value }) {
  const type = typeOf(value);
  const block = type === "map" || (typeof value === "string" && value.includes("\n"));
  return (
    <>
      {block ? <pre>{text(value, 2)}</pre> : <code class={`v-${type}`}>{text(value)}</code>}
      {type !== "string" && <small class="type">{type}</small>}
    </>
  );
}
