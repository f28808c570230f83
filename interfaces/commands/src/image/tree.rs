//! `dhow image tree`.

use api_types::image::Layer;

use crate::app::App;
use crate::failure::Outcome;
use crate::flags::{Parsed, recurring};
use crate::tree::{Command, Count, run};
use crate::{console, table, units};

pub(crate) static COMMAND: Command = Command {
    usage: "[OPTIONS] IMAGE",
    about: "Show the layers of an image, their sizes and who shares them",
    aliases: "",
    count: Count::Exactly(1),
    stop_early: false,
    flags: &[recurring::NO_TRUNC],
    run: run!(execute),
};

async fn execute(app: &App, args: &Parsed) -> Outcome {
    let layers = app.client()?.image_layers(args.arg(0)).await?;
    console::print(listing(args.arg(0), &layers, args.on("no-trunc")));
    Ok(())
}

/// The image, and below it its layers, the topmost first; each with its own size and that of all up to it.
fn listing(name: &str, layers: &[Layer], full: bool) -> String {
    let size = |bytes: u64| units::decimal3(bytes as f64);
    let total: u64 = layers.iter().map(|layer| layer.size).sum();
    let own = layers.iter().filter(|layer| layer.shared_with.is_empty());
    let own: u64 = own.map(|layer| layer.size).sum();
    let mut text = String::from("LAYER\tSIZE\tUP TO HERE\tSHARED WITH\tCREATED BY\n");
    let mut below = total;
    for (place, layer) in layers.iter().enumerate().rev() {
        let branch = if place == 0 { "└─" } else { "├─" };
        let id = match full {
            true => &layer.diff_id,
            false => units::short_id(&layer.diff_id),
        };
        let step = layer.created_by.replace(['\t', '\n'], " ");
        let (step, shared) = match full {
            true => (step, layer.shared_with.join(", ")),
            false => (units::ellipsis(&step, 45), few(&layer.shared_with)),
        };
        let (alone, sum) = (size(layer.size), size(below));
        text.push_str(&format!("{branch} {id}\t{alone}\t{sum}\t{shared}\t{step}\n"));
        below -= layer.size;
    }
    let (total, own, count) = (size(total), size(own), layers.len());
    let head = format!("{name}: {total} in {count} layers, {own} of it shared with no other image\n");
    head + &table::align(&text)
}

/// So many names as fit into a column.
fn few(names: &[String]) -> String {
    const MOST: usize = 2;
    match names.len().checked_sub(MOST) {
        None | Some(0) => names.join(", "),
        Some(more) => format!("{}, {more} more", names[..MOST].join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_stand_below_each_other_with_who_shares_them() {
        let layer = |id: &str, size: u64, shared: &[&str]| Layer {
            diff_id: format!("sha256:{id:0<64}"),
            size,
            created_by: format!("RUN\tmake {id}"),
            shared_with: shared.iter().map(|name| (*name).to_owned()).collect(),
            ..Layer::default()
        };
        let layers = [
            layer("a", 1_500_000, &["x:1", "y:1", "z:1", "z:2"]),
            layer("b", 20, &[]),
        ];
        let shown = listing("mine", &layers, false);
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(
            lines[0],
            "mine: 1.5MB in 2 layers, 20B of it shared with no other image"
        );
        assert!(lines[1].starts_with("LAYER ") && lines[1].ends_with("CREATED BY"));
        assert!(lines[2].starts_with("├─ b00000000000 ") && lines[2].ends_with("RUN make b"));
        assert!(lines[3].starts_with("└─ a00000000000 ") && lines[3].contains("x:1, y:1, 2 more"));
        assert!(listing("mine", &layers, true).contains("x:1, y:1, z:1, z:2"));
    }
}
