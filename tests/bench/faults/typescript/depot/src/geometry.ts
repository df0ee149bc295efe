export type Size = { width: number; height: number; depth: number };

export const volume = (size: Size): number => size.width * size.height * size.depth;

export function rotations(size: Size): Size[] {
  const { width: a, height: b, depth: c } = size;
  return [
    { width: a, height: b, depth: c },
    { width: a, height: c, depth: b },
    { width: b, height: a, depth: c },
    { width: b, height: c, depth: a },
    { width: c, height: a, depth: b },
    { width: c, height: b, depth: a },
  ];
}

export function fits(inner: Size, outer: Size): boolean {
  return rotations(inner).some(
    (turned) => turned.width <= outer.width && turned.height <= outer.height && turned.depth <= outer.depth,
  );
}
