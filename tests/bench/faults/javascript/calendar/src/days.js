const LENGTHS = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

export function isLeap(year) {
  if (year % 400 === 0) {
    return true;
  }
  return year % 4 === 0 && year % 100 !== 0;
}

export function daysInMonth(year, month) {
  if (month === 2 && isLeap(year)) {
    return 29;
  }
  return LENGTHS[month - 1];
}

/** Count the days from the first of January of year 1 on. */
export function toNumber({ year, month, day }) {
  const before = year - 1;
  let number = before * 365 + Math.floor(before / 4) - Math.floor(before / 100) + Math.floor(before / 400);
  for (let index = 1; index < month; index++) {
    number += daysInMonth(year, index);
  }
  return number + day;
}

export function weekday(date) {
  return (toNumber(date) + 6) % 7;
}
