use pushroll_domain::Platform;

use super::*;

const APP: &str = "0192aaaa-0000-7000-8000-000000000001";

fn open(text: impl AsRef<[u8]>, format: Format) -> (tempfile::TempDir, Result<Lines, Stop>) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("fleet");
    std::fs::write(&path, text).unwrap();
    let lines = Lines::open(&path, format, false);
    (dir, lines)
}

fn all(lines: &mut Lines) -> Vec<(u64, Result<String, String>)> {
    let mut all = Vec::new();
    while let Some(Line { number, row }) = lines.next_line().unwrap() {
        all.push((number, row.map(|row| format!("{} {}", row.user.as_str(), row.token.reveal()))));
    }
    assert!(lines.at_end());
    all
}

#[test]
fn columns_may_stand_in_any_order_under_the_api_s_names_too() {
    for head in [
        "app,user,platform,token",
        "\u{feff}App_Id;USER;Platform;Token",
        "MobileAppId\tUserId\tplatform\tdevice_token",
    ] {
        let delimiter = head.chars().find(|c| ",;\t".contains(*c)).unwrap();
        let row = [APP, "\"ann, b\"", "iOS", "AB12"].join(&delimiter.to_string());
        let (_dir, lines) = open(format!("{head}\r\n{row}\r\n\r\n"), Format::Csv);
        let found = all(&mut lines.unwrap());
        assert_eq!(found, [(2, Ok("ann, b ab12".to_owned()))], "{head}");
    }
}

#[test]
fn a_head_that_names_too_little_is_refused() {
    for (head, missing) in [
        ("app,user,platform", "token"),
        ("user,platform,token", "app"),
        ("app,user,user,platform,token", "twice"),
        ("", "missing"),
    ] {
        let (_dir, lines) = open(head, Format::Csv);
        let Err(stop) = lines else { panic!("{head}") };
        assert!(stop.message.contains(missing), "{head}: {}", stop.message);
        assert_eq!(stop.exit, Exit::Data);
    }
}

#[test]
fn a_bad_line_is_told_by_its_number_and_spoils_no_other() {
    let long = "x".repeat(MOST_BYTES);
    let good = format!("{APP},ann,android,tok");
    let text = [
        "app,user,platform,token",
        &good,
        &format!("{APP},\"ann,ios,ab12"),
        &format!("{APP},ann,ios"),
        &format!("{APP},ann,windows,ab12"),
        "not-a-guid,ann,ios,ab12",
        &format!("{APP},,ios,ab12"),
        &format!("{APP},ann,ios,"),
        &format!("{APP},{long},ios,ab12"),
        &good,
    ]
    .join("\n");
    let (_dir, lines) = open(text, Format::Csv);
    let found = all(&mut lines.unwrap());
    let numbers: Vec<u64> = found.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, [2, 3, 4, 5, 6, 7, 8, 9, 10]);
    for (number, expected) in [
        (3, "not closed"),
        (4, "token"),
        (5, "platform"),
        (6, "app"),
        (7, "user"),
        (8, "token"),
        (9, "bytes"),
    ] {
        let why = found[number - 2].1.as_ref().unwrap_err();
        assert!(why.contains(expected), "{number}: {why}");
    }
    assert!(found[0].1.is_ok() && found[8].1.is_ok());
}

#[test]
fn bytes_that_are_no_text_are_a_bad_line() {
    let text = [b"app,user,platform,token\n".as_slice(), b"x,\xff\xfe,ios,ab\n"].concat();
    let (_dir, lines) = open(text, Format::Csv);
    let found = all(&mut lines.unwrap());
    assert_eq!(found, [(2, Err("is not UTF-8".to_owned()))]);
}

#[test]
fn ndjson_is_read_and_what_is_wrong_with_it_is_told() {
    let object = |user: &str| {
        format!(
            r#"{{"app": "{APP}", "user": {user}, "platform": "fcm", "token": "t", "environment": null}}"#
        )
    };
    let text = format!("\u{feff}{}\n\n{}\n[1]\nnonsense\n", object("\"ann\""), object("5"));
    let (_dir, lines) = open(text, Format::Ndjson);
    let found = all(&mut lines.unwrap());
    assert_eq!(found[0], (1, Ok("ann t".to_owned())));
    assert_eq!(found.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [1, 3, 4, 5]);
    for (_, row) in &found[1..] {
        assert!(row.is_err(), "{row:?}");
    }
}

#[test]
fn reading_goes_on_where_it_was() {
    let rows: Vec<_> = (0..20).map(|n| format!("{APP},user {n},ios,ab{n:02}")).collect();
    let text = format!("app,user,platform,token\r\n{}\r\n", rows.join("\r\n"));
    let (dir, lines) = open(text, Format::Csv);
    let mut lines = lines.unwrap();
    for _ in 0..7 {
        assert!(lines.next_line().unwrap().unwrap().row.is_ok());
    }
    let (offset, line) = (lines.offset(), lines.line());
    let mut again = Lines::open(&dir.path().join("fleet"), Format::Csv, false).unwrap();
    again.go_on_from(offset, line).unwrap();
    let next = again.next_line().unwrap().unwrap();
    assert_eq!((next.number, next.row.unwrap().user.as_str()), (9, "user 7"));
    assert_eq!(all(&mut again).len(), 12);
    assert_eq!(again.offset(), again.bytes());
}

#[test]
fn the_format_is_in_the_file_s_name() {
    assert_eq!(Format::of(None, Path::new("a/fleet.CSV")).unwrap(), Format::Csv);
    assert_eq!(Format::of(None, Path::new("fleet.jsonl")).unwrap(), Format::Ndjson);
    assert_eq!(Format::of(Some(Format::Ndjson), Path::new("fleet")).unwrap(), Format::Ndjson);
    assert!(Format::of(None, Path::new("fleet")).unwrap_err().message.contains("--format"));
}

#[test]
fn rows_have_the_platform_that_they_name() {
    let text = format!("app,user,platform,token\n{APP},a,APNS,AB\n{APP},a,Android,AB\n");
    let (_dir, lines) = open(text, Format::Csv);
    let mut lines = lines.unwrap();
    let mut platform = || lines.next_line().unwrap().unwrap().row.unwrap().token.platform();
    assert_eq!((platform(), platform()), (Platform::Ios, Platform::Android));
}
