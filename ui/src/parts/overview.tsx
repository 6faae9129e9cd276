/** The whole trace in one strip: where the time goes before one scrolls. */
import { useEffect, useRef } from "preact/hooks";
import { palette } from "../model/colour";
import type { Tree } from "../model/tree";
import { useWidth } from "./size";

const HEIGHT = 44;

export function Overview({ tree }: { tree: Tree }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const [ref, width] = useWidth<HTMLDivElement>();
  useEffect(() => {
    const context = canvas.current?.getContext("2d");
    if (context && width) draw(context, width, tree);
  }, [tree, width]);
  return (
    <div class="overview">
      <div class="left" />
      <div class="axis" ref={ref}><canvas ref={canvas} aria-hidden="true" /></div>
    </div>
  );
}

/** A canvas: 10,000 bars are 10,000 rectangles, not elements. */
function draw(context: CanvasRenderingContext2D, width: number, tree: Tree): void {
  const scale = window.devicePixelRatio || 1;
  Object.assign(context.canvas, { width: width * scale, height: HEIGHT * scale });
  Object.assign(context.canvas.style, { width: `${width}px`, height: `${HEIGHT}px` });
  context.scale(scale, scale);
  const style = getComputedStyle(context.canvas);
  const paint = new Map(tree.services.map((each) => [each, style.getPropertyValue(`--series-${palette.of(each)}`)]));
  const bad = style.getPropertyValue("--bad");
  const line = Math.min(4, (HEIGHT - 4) / tree.nodes.length);
  const total = Math.max(1, tree.duration_ns);
  tree.nodes.forEach((node, i) => {
    context.fillStyle = node.span.status === "error" ? bad : paint.get(node.span.service)!;
    context.fillRect((node.offset_ns / total) * width, 2 + i * line, Math.max(1, (node.duration_ns / total) * width), Math.max(0.75, line - 0.6));
  });
}
