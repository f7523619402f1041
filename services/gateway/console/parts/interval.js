// A share with its interval on a scale from 0 to 100 percent.

import { html } from "../vendor.js";
import { percent } from "./format.js";

/** A share in words: `62 % (54 % to 70 %)`. */
export const inWords = ({ value, low, high }) => `${percent(value)} (${percent(low)} to ${percent(high)})`;

/** @param rate `{value, low, high}` as fractions, or null while there is none */
export function Interval({ rate }) {
  if (!rate) return html`<div class="interval" role="img" aria-label="No thumbs yet"></div>`;
  const { value, low, high } = rate;
  return html`
    <div class="interval" role="img" aria-label=${inWords(rate)}>
      <span class="interval-range" style="left: ${100 * low}%; width: ${100 * (high - low)}%"></span>
      <span class="interval-value" style="left: ${100 * value}%"></span>
    </div>
  `;
}
