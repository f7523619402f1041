// Icons as outlines in the text's colour. They say nothing to screen readers: what they stand for is always named.

import { html } from "../vendor.js";

const outlines = {
  playground: "M4 5h16v11H9l-5 4z",
  labels: "M4 4h8l8 8-8 8-8-8zM8.500 8.500h.01",
  runs: "M3 20h18M5 16c4 0 5-9 8-9s3 4 6 4",
  models: "M12 3v6M12 9 5 15M12 9l7 6M3 15h4v5H3zM17 15h4v5h-4zM10 2h4v4h-4z",
  up:
    "M7 10v11H3V10zM7 10l5-8c1.700 0 3 1.300 2.700 3L14 9h5.500c1.300 0 2.200 1.200 1.900 2.400l-2 8c-.2.900-1 1.600-2 1.600H7",
  down:
    "M17 14V3h4v11zM17 14l-5 8c-1.700 0-3-1.300-2.700-3l.7-4H4.500c-1.300 0-2.200-1.200-1.900-2.400l2-8c.2-.9 1-1.600 2-1.600H17",
  send: "M12 20V5M5 11l7-7 7 7",
  stop: "M7 7h10v10H7z",
  plus: "M12 5v14M5 12h14",
  check: "M4 12.500 9.500 18 20 6.500",
  cross: "M6 6l12 12M18 6 6 18",
  warning: "M12 3 2 20h20zM12 10v4M12 17h.01",
  download: "M12 4v11M6 10l6 6 6-6M4 20h16",
  upload: "M12 16V5M6 10l6-6 6 6M4 20h16",
  undo: "M9 7 4 12l5 5M4 12h10a6 6 0 0 1 6 6",
  history: "M12 7v5l3 2M4 12a8 8 0 1 0 2.500-5.800M4 4v4h4",
  sun:
    "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8M12 2v2M12 20v2M2 12h2M20 12h2M5 5l1.400 1.400M17.600 17.600 19 19M19 5l-1.400 1.400M6.400 17.600 5 19",
  moon: "M20 14.500A8.500 8.500 0 0 1 9.500 4a8.500 8.500 0 1 0 10.500 10.500z",
  system: "M3 4h18v12H3zM8 20h8M12 16v4",
  key: "M14 10a4 4 0 1 1-3-3.900A4 4 0 0 1 14 10zM13 12l7 7M17 16l2-2",
  person: "M12 4a4 4 0 1 0 0 8 4 4 0 0 0 0-8M4 21c0-4 3.500-6.500 8-6.500s8 2.500 8 6.500",
  book: "M4 5c3-1.500 6-1 8 1 2-2 5-2.500 8-1v14c-3-1.500-6-1-8 1-2-2-5-2.500-8-1zM12 6v14",
};

/** @param name one of the outlines above */
export function Icon({ name, size = 18 }) {
  return html`
    <svg class="icon" viewBox="0 0 24 24" width=${size} height=${size} aria-hidden="true" focusable="false">
      <path d=${outlines[name]} />
    </svg>
  `;
}
