//! A good fleet, changed at a few places by bytes: whatever comes out is judged without falling over, also by the parts that only
//! see good fleets, and what is found good is rendered alike each time.
#![no_main]

use cfg_render::check::check;
use cfg_render::derive::{self, Vantage};
use cfg_render::fleet::Fleet;
use cfg_render::host::render;
use cfg_render::model::Model;
use contract::Level;
use serde_json::{Map, Value};

const FLEETS: [&str; 6] = [
    include_str!("../../../pipelines/fleets/first.json"),
    include_str!("../../../pipelines/fleets/seed-000.json"),
    include_str!("../../../pipelines/fleets/seed-001.json"),
    include_str!("../../../pipelines/fleets/seed-002.json"),
    include_str!("../../../pipelines/fleets/seed-003.json"),
    include_str!("../../../pipelines/fleets/seed-004.json"),
];

/// What takes the place of a value, besides the values of other places.
const WORDS: [&str; 16] = [
    "", "public", "local", "any", "x", "a.b", "*.example.org", "::1", "0.0.0.0/0", "/", "..", "é\n\"'\\${}`", "1d", "0", "-1", "\u{0}",
];

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut bytes = bytes.iter().copied();
    let text = FLEETS[usize::from(bytes.next().unwrap_or(0)) % FLEETS.len()];
    let mut fleet: Value = serde_json::from_str(text).expect("a fleet of the pipelines");
    fleet.as_object_mut().expect("a fleet").remove("schema");
    cli::strip_extensions(&mut fleet);
    let others = fleet.clone();
    for _ in 0..4 {
        change(&mut fleet, &others, &mut bytes);
    }
    let Ok(fleet) = serde_json::from_value::<Fleet>(fleet) else { return };
    let good = check(&fleet).iter().all(|finding| finding.level != Level::Error);
    let first = documents(&fleet);
    if good {
        assert_eq!(first, documents(&fleet), "the same fleet renders differently");
    }
});

/// Everything that is made of a fleet.
fn documents(fleet: &Fleet) -> Vec<Value> {
    let resolved = fleet.resolved();
    let model = Model::new(fleet, &resolved);
    let mut all = vec![
        value(&derive::inventory(&model)),
        value(&derive::dns(&model).0),
        value(&derive::controller_secrets(&model)),
        value(&derive::health(&model, Vantage::Controller, None, &[])),
    ];
    for host in model.hosts() {
        all.push(value(&render(&model, host).desired));
        all.push(value(&derive::host_secrets(&model, host)));
        all.push(value(&derive::health(&model, Vantage::Host(host), None, &[])));
        all.extend(derive::backup(&model, host).as_ref().map(value));
    }
    all.extend(model.clusters().map(|cluster| value(&derive::postgres(&model, &cluster, None))));
    all
}

fn value(document: &impl serde::Serialize) -> Value {
    serde_json::to_value(document).expect("a document is JSON")
}

/// Walks down to a place and puts something else there, or takes it away.
fn change(place: &mut Value, others: &Value, bytes: &mut impl Iterator<Item = u8>) {
    let Some(byte) = bytes.next() else { return };
    let index = usize::from(byte);
    match place {
        Value::Object(keys) if !keys.is_empty() && byte < 240 => {
            let name = nth_key(keys, index);
            match bytes.next().unwrap_or(0) {
                0..=7 => drop(keys.remove(&name)),
                8..=15 => {
                    let copy = keys[&name].clone();
                    keys.insert(format!("{name}-2"), copy);
                }
                _ => change(keys.get_mut(&name).expect("it is there"), others, bytes),
            }
        }
        Value::Array(values) if !values.is_empty() && byte < 240 => {
            let index = index % values.len();
            match bytes.next().unwrap_or(0) {
                0..=7 => drop(values.remove(index)),
                8..=15 => values.push(values[index].clone()),
                _ => change(&mut values[index], others, bytes),
            }
        }
        _ => {
            *place = match bytes.next().unwrap_or(0) {
                at @ 0..=63 => Value::from(WORDS[usize::from(at) % WORDS.len()]),
                64..=79 => Value::from(index),
                80..=87 => Value::from(u64::from(u32::MAX) + 1),
                88..=95 => Value::Object(Map::new()),
                96..=103 => Value::Array(Vec::new()),
                104..=111 => Value::Bool(index % 2 == 0),
                _ => somewhere(others, bytes).clone(),
            }
        }
    }
}

fn somewhere<'v>(value: &'v Value, bytes: &mut impl Iterator<Item = u8>) -> &'v Value {
    let Some(byte) = bytes.next().filter(|byte| *byte < 240) else { return value };
    match value {
        Value::Object(keys) if !keys.is_empty() => somewhere(&keys[&nth_key(keys, usize::from(byte))], bytes),
        Value::Array(values) if !values.is_empty() => somewhere(&values[usize::from(byte) % values.len()], bytes),
        _ => value,
    }
}

fn nth_key(keys: &Map<String, Value>, index: usize) -> String {
    keys.keys().nth(index % keys.len()).cloned().unwrap_or_default()
}
