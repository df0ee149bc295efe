use tide::depth;

#[test]
fn low_water_and_high_water() {
    assert_eq!(depth(120, 480, 0), 120);
    assert_eq!(depth(120, 480, 6), 480);
}

#[test]
fn it_rises_slowly_then_fast() {
    assert_eq!(depth(120, 480, 1), 150);
    assert_eq!(depth(120, 480, 3), 300);
}

#[test]
fn it_falls_as_it_rose() {
    assert_eq!(depth(120, 480, 7), 450);
    assert_eq!(depth(120, 480, 11), 150);
    assert_eq!(depth(120, 480, 12), 120);
    assert_eq!(depth(120, 480, 18), 480);
}
