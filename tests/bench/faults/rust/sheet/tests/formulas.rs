use sheet::{Sheet, SheetError, Value};

fn calculate(formula: &str) -> String {
    let mut sheet = Sheet::from_rows(&["1 | 2 | 3", "10 | 20 | x", "50% | | TRUE"]);
    sheet.set("F9", &format!("={formula}")).unwrap();
    match sheet.get("F9") {
        Ok(value) => value.to_string(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn arithmetic_has_levels() {
    assert_eq!(calculate("1+2*3"), "7");
    assert_eq!(calculate("10-4-3"), "3");
    assert_eq!(calculate("2^3^2"), "512");
    assert_eq!(calculate("-(1+2)*2"), "-6");
    assert_eq!(calculate("7/2"), "3.5");
}

#[test]
fn references_and_ranges() {
    assert_eq!(calculate("A1+B2"), "21");
    assert_eq!(calculate("sum(A1:C2)"), "36");
    assert_eq!(calculate("SUM(C2:A1)"), "36");
    assert_eq!(calculate("COUNT(A1:C3)"), "6");
    assert_eq!(calculate("A3*10"), "5");
}

#[test]
fn statistics() {
    assert_eq!(calculate("AVERAGE(A1:C1, 6)"), "3");
    assert_eq!(calculate("MEDIAN(5,1,4,2)"), "3");
    assert_eq!(calculate("MEDIAN(A1:C2)"), "3");
    assert_eq!(calculate("MAX(A1:C2)-MIN(A1:C2)"), "19");
    assert_eq!(calculate("ROUND(2.346, 2)"), "2.35");
}

#[test]
fn texts() {
    assert_eq!(calculate(r#""a ""b"" "&C2&1"#), r#"a "b" x1"#);
    assert_eq!(calculate(r#""Abc"="aBC""#), "TRUE");
    assert_eq!(calculate("CONCAT(A1:C1, C3)"), "123TRUE");
}

#[test]
fn conditions() {
    assert_eq!(calculate(r#"IF(A1>=1, "yes", 1/0)"#), "yes");
    assert_eq!(calculate("IF(A1<>1, 5)"), "FALSE");
    assert_eq!(calculate("IF(B3, 1, 2)"), "2");
}

#[test]
fn errors_are_told() {
    assert_eq!(calculate("1/(A1-1)"), "#DIV");
    assert_eq!(calculate("C2+1"), "#KIND x is no number");
    assert_eq!(calculate("NOPE(1)"), "#NAME NOPE");
    assert_eq!(calculate("A0"), "#REF A0");
}

#[test]
fn cycles_are_found() {
    let mut sheet = Sheet::new();
    sheet.set("A1", "=B1").unwrap();
    sheet.set("B1", "=AA1+1").unwrap();
    sheet.set("AA1", "=A1").unwrap();
    assert_eq!(sheet.get("A1"), Err(SheetError::Cycle("A1>B1>AA1>A1".to_string())));
    sheet.set("AA1", "=C1+C1").unwrap();
    sheet.set("C1", "4").unwrap();
    assert_eq!(sheet.get("A1"), Ok(Value::Number(9.0)));
}

#[test]
fn renders_a_table() {
    let sheet = Sheet::from_rows(&["name | price", "tea | =1+1.25", "cocoa | =tea", "sum | =SUM(B1:B2)"]);
    let shown = sheet.render();
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines, ["name  | price", "tea   |  2.25", "cocoa | #REF", "sum   |  2.25"]);
}
