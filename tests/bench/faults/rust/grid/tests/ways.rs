use grid::search::draw;
use grid::{shortest, Map, Point};

const POND: &str = "
    .~.
    .~.
    ...
";

fn way(text: &str) -> grid::Path {
    let map: Map = text.parse().expect("a map");
    let corner = Point::new(map.height() - 1, map.width() - 1);
    shortest(&map, Point::new(0, 0), corner).expect("a way")
}

fn check_cost(text: &str, cost: u32) {
    let path = way(text);
    assert_eq!(path.cost, cost, "cost of {:?}", path.points);
}

#[test]
fn goes_around_the_pond() {
    let map: Map = POND.parse().unwrap();
    let path = shortest(&map, Point::new(0, 0), Point::new(0, 2)).unwrap();
    assert_eq!(path.cost, 6);
    assert_eq!(draw(&map, &path), "*~*\n*~*\n***\n".replace('~', "."));
}

#[test]
fn takes_the_cheap_ground() {
    check_cost(".191\n.191\n.111", 5);
    check_cost("159\n111\n991", 4);
}

#[test]
fn a_wall_has_no_way() {
    let map: Map = ".#.\n.#.".parse().unwrap();
    assert_eq!(shortest(&map, Point::new(0, 0), Point::new(0, 2)), None);
}

#[test]
fn a_path_begins_at_the_start() {
    let path = way("..\n..");
    assert_eq!(path.points.first(), Some(&Point::new(0, 0)));
    assert_eq!(path.points.len(), 3);
}
