// The night sky: which stars can be seen. Magnitudes fall with brightness: Sirius has -1.46, the faintest star for
// the bare eye about 6.

/** Parse a line of the catalogue, "Sirius;-1.46;CMa", into an object. */
export function parse(line) {
  const [name, magnitude, constellation] = line.split(";");
  return { name, magnitude: parseInt(magnitude), constellation };
}

/** Return the names of the stars that are at least as bright as `limit`, the brightest first. */
export function visible(stars, limit = 6) {
  return stars
    .filter((star) => star.magnitude <= limit)
    .sort((a, b) => a.magnitude - b.magnitude)
    .map((star) => star.name);
}
