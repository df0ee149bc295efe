import { daysInMonth, toNumber, weekday } from "./days.js";
import { formatDate, parseDate } from "./parse.js";

const STEPS = {
  daily: (date, every) => addDays(date, every),
  weekly: (date, every) => addDays(date, 7 * every),
  monthly: (date, every) => addMonths(date, every),
};

export function addDays(date, count) {
  let { year, month, day } = date;
  day += count;
  while (day > daysInMonth(year, month)) {
    day -= daysInMonth(year, month);
    month += 1;
    if (month > 12) {
      month = 1;
      year += 1;
    }
  }
  return { year, month, day };
}

export function addMonths(date, count) {
  const index = date.year * 12 + (date.month - 1) + count;
  const year = Math.floor(index / 12);
  const month = (index % 12) + 1;
  return { year, month, day: Math.min(date.day, daysInMonth(year, month)) };
}

export class Rule {
  #step;

  constructor(kind, { every = 1, until = null, skipWeekends = false } = {}) {
    if (!(kind in STEPS)) {
      throw new RangeError(`unknown kind: ${kind}`);
    }
    this.#step = STEPS[kind];
    this.every = every;
    this.until = until && parseDate(until);
    this.skipWeekends = skipWeekends;
  }

  allows(date) {
    if (this.until && toNumber(date) > toNumber(this.until)) {
      return false;
    }
    return !(this.skipWeekends && [5, 6].includes(weekday(date)));
  }

  *from(start) {
    let date = parseDate(start);
    while (!this.until || toNumber(date) <= toNumber(this.until)) {
      if (this.allows(date)) {
        yield formatDate(date);
      }
      date = this.#step(date, this.every);
    }
  }

  take(start, count) {
    const found = [];
    for (const text of this.from(start)) {
      found.push(text);
      if (found.length >= count) {
        break;
      }
    }
    return found;
  }
}
