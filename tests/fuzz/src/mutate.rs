//! Mutations that know what the bytes are: most changes of single bytes make JSON or GraphQL that is refused at its first
//! letter, and then nothing behind the parser is ever reached. One in four is left to libFuzzer's own.

use serde_json::{Map, Value as Json, json};

/// Most changes of one mutation.
const CHANGES_MAX: u64 = 3;

/// Member names that mean something somewhere.
const NAMES: &[&str] = &[
    "id",
    "title",
    "note",
    "done",
    "rank",
    "price",
    "colour",
    "colours",
    "tags",
    "spot",
    "spots",
    "meta",
    "day",
    "hour",
    "at",
    "stamp",
    "mail",
    "link",
    "list",
    "order",
    "number",
    "todo",
    "text",
    "items",
    "x",
    "y",
    "name",
    "_version",
    "_deleted",
    "_lastChangedAt",
    "_operations",
    "and",
    "or",
    "not",
    "eq",
    "ne",
    "lt",
    "le",
    "gt",
    "ge",
    "between",
    "contains",
    "notContains",
    "beginsWith",
    "attributeExists",
    "attributeType",
    "size",
    "in",
    "notIn",
    "i",
    "c",
    "f",
    "l",
    "t",
    "s",
    "model",
    "cursor",
    "filter",
    "reset",
    "upToDate",
    "fields",
    "rows",
    "left",
    "type",
    "payload",
    "query",
    "variables",
    "operationName",
    "extensions",
    "tombolo",
    "replica",
    "dependsOn",
    "seen",
    "schema",
    "settledThrough",
    "atomic",
    "base",
    "outcomes",
    "outcome",
    "reason",
    "code",
    "message",
    "conflict",
    "errors",
    "errorType",
    "errorInfo",
    "retry",
    "data",
    "tomboloChanges",
    "add",
    "remove",
];

/// Words of GraphQL.
const WORDS: &[&str] = &[
    "{",
    "}",
    "(",
    ")",
    "[",
    "]",
    ":",
    "!",
    "@",
    "$",
    "...",
    "|",
    "=",
    "&",
    "\"\"",
    "\"a\"",
    "\"l\"",
    "\"\"\"b\"\"\"",
    "0",
    "-1",
    "1e9",
    "9999999999",
    "null",
    "true",
    "type",
    "enum",
    "input",
    "interface",
    "union",
    "scalar",
    "extend",
    "directive",
    "implements",
    "query",
    "mutation",
    "subscription",
    "fragment",
    "on",
    "id",
    "ID",
    "String",
    "Int",
    "Float",
    "Boolean",
    "AWSDate",
    "AWSTime",
    "AWSDateTime",
    "AWSTimestamp",
    "AWSJSON",
    "AWSEmail",
    "AWSURL",
    "AWSPhone",
    "AWSIPAddress",
    "Todo",
    "Line",
    "A",
    "B",
    "a",
    "b",
    "@model",
    "@primaryKey",
    "@index",
    "@hasOne",
    "@hasMany",
    "@belongsTo",
    "@manyToMany",
    "@default",
    "@auth",
    "@merge",
    "@renamed",
    "@include",
    "@skip",
    "@deprecated",
    "rules",
    "allow",
    "public",
    "owner",
    "private",
    "sortKeyFields",
    "queryField",
    "indexName",
    "fields",
    "relationName",
    "value",
    "rule",
    "COUNTER",
    "SET",
    "MAX",
    "LAST_WRITER",
    "from",
    "conflict",
    "OPTIMISTIC_CONCURRENCY",
    "listTodos",
    "todosByList",
    "getTodo",
    "listLines",
    "syncTodos",
    "createTodo",
    "updateTodo",
    "deleteTodo",
    "tomboloChanges",
    "onCreateTodo",
    "__typename",
    "__schema",
    "__type",
    "filter",
    "limit",
    "nextToken",
    "sortDirection",
    "DESC",
    "items",
    "lines",
    "of",
    "title",
    "rank",
    "tags",
    "spot",
    "list",
    "model",
    "scope",
    "input",
    "condition",
    "eq",
    "if",
    "\n---\n",
];

/// Numbers from libFuzzer's seed: the same for the same seed.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((x ^ (x >> 31)) as usize) % end.max(1)
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }
}

/// JSON behind `prefix` bytes that are left as they are: one document, or one a line.
pub fn json(data: &mut [u8], size: usize, max: usize, seed: u32, prefix: usize) -> usize {
    let mut numbers = Numbers(u64::from(seed));
    if numbers.below(4) > 0
        && let Some(changed) = changed_json(data.get(prefix..size), &mut numbers)
        && prefix + changed.len() <= max
    {
        data[prefix..prefix + changed.len()].copy_from_slice(changed.as_bytes());
        return prefix + changed.len();
    }
    libfuzzer_sys::fuzzer_mutate(data, size, max)
}

fn changed_json(bytes: Option<&[u8]>, numbers: &mut Numbers) -> Option<String> {
    let text = std::str::from_utf8(bytes?).ok()?;
    let mut lines: Vec<Json> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>().ok()?;
    let which = numbers.below(lines.len());
    for _ in 0..=numbers.below(CHANGES_MAX as usize) {
        let line = lines.get_mut(which)?;
        let node = numbers.below(count(line));
        change(at(line, &mut { node })?, numbers);
    }
    match numbers.below(12) {
        0 => lines.push(lines.get(which)?.clone()),
        1 if lines.len() > 1 => drop(lines.remove(which)),
        _ => {}
    }
    Some(lines.iter().map(Json::to_string).collect::<Vec<_>>().join("\n"))
}

fn count(value: &Json) -> usize {
    1 + match value {
        Json::Array(items) => items.iter().map(count).sum(),
        Json::Object(members) => members.values().map(count).sum::<usize>(),
        _ => 0,
    }
}

/// The node with this number, from the top.
fn at<'a>(value: &'a mut Json, left: &mut usize) -> Option<&'a mut Json> {
    if *left == 0 {
        return Some(value);
    }
    *left -= 1;
    let inner: Vec<&mut Json> = match value {
        Json::Array(items) => items.iter_mut().collect(),
        Json::Object(members) => members.values_mut().collect(),
        _ => return None,
    };
    for value in inner {
        let nodes = count(value);
        if *left < nodes {
            return at(value, left);
        }
        *left -= nodes;
    }
    None
}

fn change(value: &mut Json, numbers: &mut Numbers) {
    match value {
        Json::Object(members) if numbers.below(4) > 0 => {
            let names: Vec<String> = members.keys().cloned().collect();
            let name = names.get(numbers.below(names.len())).cloned().unwrap_or_default();
            match numbers.below(4) {
                0 => drop(members.shift_remove(&name)),
                1 => {
                    // Another name for the same.
                    if let Some(value) = members.shift_remove(&name) {
                        members.insert(numbers.of(NAMES).to_owned(), value);
                    }
                }
                2 => {
                    let copy = members.get(&name).cloned().unwrap_or(Json::Null);
                    members.insert(numbers.of(NAMES).to_owned(), copy);
                }
                _ => {
                    members.insert(numbers.of(NAMES).to_owned(), fresh(numbers));
                }
            }
        }
        Json::Array(items) if numbers.below(4) > 0 => {
            let place = numbers.below(items.len());
            match numbers.below(4) {
                0 if !items.is_empty() => drop(items.remove(place)),
                1 if !items.is_empty() => items.push(items[place].clone()),
                2 if !items.is_empty() => items.swap(0, place),
                _ => items.push(fresh(numbers)),
            }
        }
        // Documents within frames.
        Json::String(text) if text.contains('{') && numbers.below(4) > 0 => *text = changed_words(text, numbers),
        Json::Number(number) if numbers.below(2) == 0 => {
            let by = numbers.of(&[1, -1, 256, -256, i64::MAX]);
            *value = match number.as_i64() {
                Some(int) => json!(int.wrapping_add(by)),
                None => json!(number.as_f64().unwrap_or(0.0) * -1.5),
            };
        }
        Json::String(text) if numbers.below(2) == 0 => {
            let piece = numbers.of(&[
                "",
                "0",
                "\"",
                "\\",
                "%",
                "_",
                "*",
                "\0",
                "\u{1F600}",
                "Z",
                ".",
                "-",
                "e.1",
                "{}",
            ]);
            let place = numbers.below(text.chars().count() + 1);
            let at = text.char_indices().nth(place).map_or(text.len(), |(at, _)| at);
            if numbers.below(3) == 0 {
                text.truncate(at);
            }
            text.insert_str(at, piece);
        }
        _ => *value = fresh(numbers),
    }
}

fn fresh(numbers: &mut Numbers) -> Json {
    match numbers.below(12) {
        0 => Json::Null,
        1 => json!(numbers.below(2) == 0),
        2 => json!(numbers.of(&[0, 1, -1, 2, 3, 2_147_483_647, 2_147_483_648, i64::MAX, i64::MIN])),
        3 => json!(numbers.of(&[0.5, -0.0, 1e300, 1e-300, 9_007_199_254_740_993.0])),
        4 => json!(numbers.of(NAMES)),
        5 => json!([]),
        6 => Json::Object(Map::new()),
        7 => {
            let name = numbers.of(NAMES).to_owned();
            let value = fresh(numbers);
            json!({ name: value })
        }
        8 => json!([fresh(numbers)]),
        9 => json!(numbers.of(&[
            "2013-01-01",
            "2013-01-01T10:00:00.5+02:00",
            "10:00:00Z",
            "a@b.ch",
            "https://a.org/",
            "{}"
        ])),
        _ => json!(numbers.of(&[
            "", "a", "b", "l", "o", "e.3", "RED", "Todo", "Line", "wet", "x", "1", "map", "applied"
        ])),
    }
}

/// GraphQL, by its words.
pub fn words(data: &mut [u8], size: usize, max: usize, seed: u32) -> usize {
    let mut numbers = Numbers(u64::from(seed));
    if numbers.below(4) > 0
        && let Some(text) = data.get(..size).and_then(|bytes| std::str::from_utf8(bytes).ok())
    {
        let changed = changed_words(text, &mut numbers);
        if changed.len() <= max {
            data[..changed.len()].copy_from_slice(changed.as_bytes());
            return changed.len();
        }
    }
    libfuzzer_sys::fuzzer_mutate(data, size, max)
}

fn changed_words(text: &str, numbers: &mut Numbers) -> String {
    let mut words = split(text);
    for _ in 0..=numbers.below(CHANGES_MAX as usize) {
        let place = numbers.below(words.len());
        let end = (place + 1 + numbers.below(8)).min(words.len());
        match numbers.below(7) {
            0 if !words.is_empty() => drop(words.drain(place..end)),
            1 => {
                let copy: Vec<&str> = words[place.min(end)..end].to_vec();
                let to = numbers.below(words.len() + 1);
                words.splice(to..to, copy);
            }
            // A whole block, wherever it ends.
            2 => {
                if let Some(block) = block(&words, place) {
                    let to = numbers.below(words.len() + 1);
                    words.splice(to..to, block);
                }
            }
            3 if !words.is_empty() => {
                let other = numbers.below(words.len());
                words.swap(place, other);
            }
            4 if !words.is_empty() => words[place] = numbers.of(WORDS),
            _ => words.insert(place.min(words.len()), numbers.of(WORDS)),
        }
    }
    words.join(" ")
}

/// From the next `{` to the `}` that closes it.
fn block<'a>(words: &[&'a str], from: usize) -> Option<Vec<&'a str>> {
    let begin = from + words.get(from..)?.iter().position(|word| *word == "{")?;
    let mut depth = 0_usize;
    for (place, word) in words.iter().enumerate().skip(begin) {
        match *word {
            "{" => depth += 1,
            "}" if depth == 1 => return Some(words[begin..=place].to_vec()),
            "}" => depth -= 1,
            _ => {}
        }
    }
    None
}

fn split(text: &str) -> Vec<&str> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '-' || c == '.';
    let mut words = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let end = if is_word(first) {
            rest.find(|c| !is_word(c)).unwrap_or(rest.len())
        } else if first == '"' {
            rest[1..].find('"').map_or(rest.len(), |end| end + 2)
        } else {
            first.len_utf8()
        };
        let (word, after) = rest.split_at(end);
        if !first.is_whitespace() || first == '\n' {
            words.push(word);
        }
        rest = after;
    }
    words
}
