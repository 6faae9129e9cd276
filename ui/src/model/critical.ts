/** The critical path: the pieces of spans that the trace's duration is made of. Shorten one, and the trace gets shorter. */
import type { Node } from "./tree";

export interface Piece {
  from_ns: number;
  to_ns: number;
}

/**
 * Walks back from the root's end: the child that ended last before the cursor is what was waited for; between its end
 * and the cursor the parent itself worked. Children that outlive their parent are cut at its end (fire and forget).
 */
export function criticalPath(root: Node): Map<Node, Piece[]> {
  const path = new Map<Node, Piece[]>();
  const stack: { node: Node; until: number }[] = [{ node: root, until: root.offset_ns + root.duration_ns }];
  for (let frame = stack.pop(); frame; frame = stack.pop()) {
    const pieces: Piece[] = [];
    let cursor = frame.until;
    for (const child of byEnd(frame.node)) {
      const end = Math.min(child.offset_ns + child.duration_ns, frame.until);
      if (end > cursor || end <= frame.node.offset_ns || child.duration_ns === 0) continue;
      if (cursor > end) pieces.push({ from_ns: end, to_ns: cursor });
      stack.push({ node: child, until: end });
      cursor = Math.max(child.offset_ns, frame.node.offset_ns);
    }
    if (cursor > frame.node.offset_ns) pieces.push({ from_ns: frame.node.offset_ns, to_ns: cursor });
    path.set(frame.node, pieces);
  }
  return path;
}

function byEnd(node: Node): Node[] {
  return [...node.children].sort((a, b) => b.offset_ns + b.duration_ns - (a.offset_ns + a.duration_ns));
}
