// Numbers with their units, as text. What is not known is a dash.

const UNKNOWN = "–";
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const tenths = new Intl.NumberFormat("en", { minimumFractionDigits: 1, maximumFractionDigits: 1 });

export const count = (value) => (value == null ? UNKNOWN : whole.format(value));

/** Events a second. */
export function rate(value) {
  if (value == null) return UNKNOWN;
  if (value >= 1e6) return `${tenths.format(value / 1e6)}M`;
  if (value >= 1e5) return `${tenths.format(value / 1e3)}k`;
  return value >= 100 || value === 0 ? whole.format(value) : tenths.format(value);
}

/** A share of 1, in per cent. One that is not whole is never shown as 100 %. */
export function share(value) {
  if (value == null) return UNKNOWN;
  const percent = value < 1 ? Math.min(value * 100, 99.9) : 100;
  return percent === 100 ? "100 %" : `${tenths.format(percent)} %`;
}

export function milliseconds(value) {
  if (value == null) return UNKNOWN;
  if (value < 1) return `${Math.round(value * 1000)} µs`;
  if (value < 9.95) return `${value.toFixed(1)} ms`;
  if (value < 1000) return `${Math.round(value)} ms`;
  return `${(value / 1000).toFixed(value < 9950 ? 1 : 0)} s`;
}

export function bytes(value) {
  if (value == null) return UNKNOWN;
  if (value < 1024) return `${value} B`;
  const exponent = Math.min(Math.floor(Math.log2(value) / 10), 4);
  return `${tenths.format(value / 1024 ** exponent)} ${["", "KiB", "MiB", "GiB", "TiB"][exponent]}`;
}

/** A length of time in seconds, in its two greatest units. */
export function duration(seconds) {
  if (seconds == null) return UNKNOWN;
  const units = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  const sign = seconds < 0 ? "−" : "";
  let rest = Math.abs(Math.round(seconds));
  const first = units.findIndex(([, size]) => rest >= size);
  if (first < 0) return "0 s";
  const parts = units.slice(first, first + 2).map(([unit, size]) => {
    const number = Math.floor(rest / size);
    rest %= size;
    return number ? `${number} ${unit}` : "";
  });
  return sign + parts.filter(Boolean).join(" ");
}

/** Text of others with all escaped that cannot be seen, or that shows the line other than it is. */
export function visible(text) {
  const escape = (character) => `\\u{${character.codePointAt(0).toString(16)}}`;
  return String(text).replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, escape);
}

export const clockTime = (date) => date.toLocaleTimeString("en-GB");

export const dateTime = (text) => new Date(text).toLocaleString("sv-SE");

export const plural = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;
