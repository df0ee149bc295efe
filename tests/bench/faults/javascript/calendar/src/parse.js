import { daysInMonth } from "./days.js";

export class DateError extends Error {
  constructor(text, reason) {
    super(`${JSON.stringify(text)}: ${reason}`);
    this.name = "DateError";
  }
}

const PATTERN = /^(\d{4})-(\d{2})-(\d{2})$/;

export function parseDate(text) {
  const match = PATTERN.exec(text.trim());
  if (!match) {
    throw new DateError(text, "not like 2024-02-29");
  }
  const [year, month, day] = match.slice(1).map(Number);
  if (month < 1 || month > 12) {
    throw new DateError(text, "no such month");
  }
  if (day < 1 || day > daysInMonth(year, month)) {
    throw new DateError(text, "no such day");
  }
  return { year, month, day };
}

export const formatDate = ({ year, month, day }) =>
  [String(year).padStart(4, "0"), String(month).padStart(2, "0"), String(day).padStart(2, "0")].join("-");
