import { volume } from "./geometry.js";
import type { Parcel, Shelf } from "./shelf.js";

type Strategy = (shelves: readonly Shelf[], parcel: Parcel) => Shelf | undefined;

export const firstFit: Strategy = (shelves, parcel) => shelves.find((shelf) => shelf.accepts(parcel));

export const bestFit: Strategy = (shelves, parcel) => {
  const able = shelves.filter((shelf) => shelf.accepts(parcel));
  able.sort((a, b) => a.free - b.free);
  return able[0];
};

export class Depot {
  private readonly places = new Map<string, Shelf>();

  constructor(
    private readonly shelves: readonly Shelf[],
    private readonly strategy: Strategy = firstFit,
  ) {}

  store(parcels: readonly Parcel[]): string[] {
    const refused: string[] = [];
    for (const parcel of byUrgency(parcels)) {
      const shelf = this.strategy(this.shelves, parcel);
      if (shelf) {
        shelf.put(parcel);
        this.places.set(parcel.id, shelf);
      } else {
        refused.push(parcel.id);
      }
    }
    return refused;
  }

  find(id: string): string {
    const shelf = this.places.get(id);
    if (!shelf) {
      throw new Error(`no parcel ${id}`);
    }
    return shelf.name;
  }

  fetch(id: string): Parcel {
    const shelf = this.places.get(id);
    const parcel = shelf?.remove(id);
    if (!parcel) {
      throw new Error(`no parcel ${id}`);
    }
    this.places.delete(id);
    return parcel;
  }
}

function byUrgency(parcels: readonly Parcel[]): Parcel[] {
  return [...parcels].sort((a, b) => {
    if (Boolean(a.fragile) !== Boolean(b.fragile)) {
      return a.fragile ? 1 : -1;
    }
    return volume(b.size) - volume(a.size);
  });
}
