CREATE TABLE offers (
    id INTEGER PRIMARY KEY,
    band_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    title TEXT NOT NULL,
    genre TEXT NOT NULL,
    evening TEXT NOT NULL,
    fee INTEGER NOT NULL CHECK (fee >= 0),
    notes TEXT NOT NULL DEFAULT '',
    status TEXT NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'booked', 'withdrawn'))
);

CREATE INDEX offers_by_genre ON offers (status, genre, evening);

CREATE TABLE bookings (
    id INTEGER PRIMARY KEY,
    offer_id INTEGER NOT NULL REFERENCES offers (id) ON DELETE CASCADE,
    venue_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    message TEXT NOT NULL DEFAULT '',
    reason TEXT NOT NULL DEFAULT '',
    status TEXT NOT NULL DEFAULT 'requested'
        CHECK (status IN ('requested', 'confirmed', 'declined', 'cancelled')),
    created_at TEXT NOT NULL
);

-- A venue asks for an evening once at a time, and an evening is promised once.
CREATE UNIQUE INDEX bookings_pending ON bookings (offer_id, venue_id) WHERE status = 'requested';
CREATE UNIQUE INDEX bookings_confirmed ON bookings (offer_id) WHERE status = 'confirmed';
