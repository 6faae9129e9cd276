/** A line in a table cell. The scale starts at zero: a flat line is a steady service. */
const WIDTH = 120;
const HEIGHT = 26;

export function Spark({ values, over, label }: { values: readonly number[]; over: readonly number[]; label: string }) {
  if (values.length < 2) return <svg class="spark" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label={label} />;
  const top = Math.max(...values, 1e-9);
  const points = (of: readonly number[]): string =>
    of.map((each, i) => `${((i / (of.length - 1)) * WIDTH).toFixed(1)},${(HEIGHT - 2 - (each / top) * (HEIGHT - 4)).toFixed(1)}`).join(" ");
  return (
    <svg class="spark" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" role="img" aria-label={label}>
      <polygon points={`0,${HEIGHT} ${points(values)} ${WIDTH},${HEIGHT}`} />
      <polyline points={points(values)} />
      {over.some((each) => each > 0) && <polyline class="over" points={points(over)} />}
    </svg>
  );
}
