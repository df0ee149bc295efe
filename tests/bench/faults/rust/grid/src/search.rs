use std::collections::HashMap;

use crate::map::{Map, Point};
use crate::queue::Queue;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    pub points: Vec<Point>,
    pub cost: u32,
}

/// Find the cheapest way between two points.
pub fn shortest(map: &Map, start: Point, goal: Point) -> Option<Path> {
    let mut best: HashMap<Point, u32> = HashMap::from([(start, 0)]);
    let mut from: HashMap<Point, Point> = HashMap::new();
    let mut queue = Queue::default();
    queue.push(start.distance(goal) as u32, start);
    while let Some((_, point)) = queue.pop() {
        if point == goal {
            return Some(Path { points: trace(&from, start, goal), cost: best[&goal] });
        }
        for (next, step) in map.neighbours(point) {
            let cost = best[&point] + step;
            if best.get(&next).map_or(true, |&known| cost < known) {
                best.insert(next, cost);
                from.insert(next, point);
                queue.push(cost + next.distance(goal) as u32, next);
            }
        }
    }
    None
}

fn trace(from: &HashMap<Point, Point>, start: Point, goal: Point) -> Vec<Point> {
    let mut points = vec![goal];
    let mut point = goal;
    while point != start {
        point = from[&point];
        points.push(point);
    }
    points.reverse();
    points
}

/// Draw a map with the way through it.
pub fn draw(map: &Map, path: &Path) -> String {
    let mut text = String::new();
    for row in 0..map.height() {
        for column in 0..map.width() {
            let point = Point::new(row, column);
            text.push(match map.cost(point) {
                _ if path.points.contains(&point) => '*',
                None => '#',
                Some(_) => '.',
            });
        }
        text.push('\n');
    }
    text
}
