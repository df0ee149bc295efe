import { fits, type Size, volume } from "./geometry.js";

export interface Parcel {
  id: string;
  size: Size;
  weight: number;
  fragile?: boolean;
}

export class Shelf {
  readonly parcels: Parcel[] = [];

  constructor(
    readonly name: string,
    private readonly space: Size,
    private readonly bears: number,
  ) {}

  get load(): number {
    return this.parcels.reduce((sum, parcel) => sum + parcel.weight, 0);
  }

  get free(): number {
    return volume(this.space) - this.parcels.reduce((sum, parcel) => sum + volume(parcel.size), 0);
  }

  accepts(parcel: Parcel): boolean {
    if (this.load + parcel.weight > this.bears) {
      return false;
    }
    return volume(parcel.size) <= this.free && fits(parcel.size, this.space);
  }

  put(parcel: Parcel): void {
    if (!this.accepts(parcel)) {
      throw new Error(`${this.name} does not take ${parcel.id}`);
    }
    this.parcels.push(parcel);
  }

  remove(id: string): Parcel | undefined {
    const index = this.parcels.findIndex((parcel) => parcel.id === id);
    return index < 0 ? undefined : this.parcels.splice(index, 1)[0];
  }
}
