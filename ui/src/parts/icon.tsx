/** Sixteen strokes of our own: no icon font, no request. */
const PATHS = {
  gnomon: <><path d="M3 19h18" /><path class="solid" d="M7 19V5l11 14z" /></>,
  services: <><circle cx="6" cy="6" r="2.5" /><circle cx="18" cy="9" r="2.5" /><circle cx="9" cy="18" r="2.5" /><path d="M8.4 6.7l7.2 1.7M7 8.4l1.5 7.1M16.4 11l-5.6 5.2" /></>,
  traces: <path d="M3 6h10M7 12h9M12 18h9" stroke-width="3" />,
  logs: <path d="M4 6h16M4 12h16M4 18h10" />,
  sql: <><ellipse cx="12" cy="6" rx="7" ry="2.6" /><path d="M5 6v12c0 1.5 3.1 2.6 7 2.6s7-1.1 7-2.6V6M5 12c0 1.5 3.1 2.6 7 2.6s7-1.1 7-2.6" /></>,
  play: <path class="solid" d="M7 5v14l12-7z" />,
  pause: <path d="M8 6v12M16 6v12" stroke-width="3" />,
  theme: <><circle cx="12" cy="12" r="8" /><path class="solid" d="M12 4a8 8 0 0 1 0 16z" /></>,
  key: <><circle cx="8" cy="15" r="4" /><path d="M11 12l8-8M16 7l3 3" /></>,
  help: <><path d="M8.5 9a3.5 3.5 0 1 1 5 3.2c-1 .5-1.5 1-1.5 2.3" /><path d="M12 18.5v.1" stroke-width="2.6" /></>,
  copy: <><rect x="8" y="8" width="12" height="12" rx="2" /><path d="M16 8V6a2 2 0 0 0-2-2H6a2 2 0 0 0-2 2v8a2 2 0 0 0 2 2h2" /></>,
  close: <path d="M6 6l12 12M18 6L6 18" />,
  caret: <path d="M9 6l6 6-6 6" />,
  search: <><circle cx="11" cy="11" r="6" /><path d="M16 16l4 4" /></>,
  warning: <><path d="M12 4L2.5 20h19z" /><path d="M12 10v5M12 17.4v.1" /></>,
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name }: { name: IconName }) {
  return <svg class={`i i-${name}`} viewBox="0 0 24 24" aria-hidden="true">{PATHS[name]}</svg>;
}
