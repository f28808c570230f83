//! `dhow images --tree`: below each image the platforms that it is here for.

use api_types::image::{ManifestSummary, Summary};

use crate::{table, units};

/// The list as text, the newest image first; a `U` marks what containers use.
pub(super) fn listing(images: &[Summary]) -> String {
    let mut text = String::from("IMAGE\tID\tDISK USAGE\tCONTENT SIZE\tEXTRA\n");
    for image in images {
        let none: &[ManifestSummary] = &[];
        let manifests = image.manifests.as_deref().unwrap_or(none);
        let manifests: Vec<_> = manifests.iter().filter(|one| one.image_data.is_some()).collect();
        let used = manifests.iter().any(|one| is_used(one));
        let content: i64 = manifests.iter().map(|one| one.size.content).sum();
        let name = match image.repo_tags.as_slice() {
            [] => "<untagged>".to_owned(),
            names => names.join(", "),
        };
        text.push_str(&line(&name, &image.id, image.size, content, used));
        for (place, one) in manifests.iter().enumerate() {
            let branch = if place + 1 == manifests.len() {
                "└─"
            } else {
                "├─"
            };
            let platform = one.image_data.as_ref().map(|data| &data.platform);
            let name = platform.map(|own| match own.variant.as_str() {
                "" => format!("{branch} {}/{}", own.os, own.architecture),
                variant => format!("{branch} {}/{}/{variant}", own.os, own.architecture),
            });
            let name = name.unwrap_or_default();
            text.push_str(&line(
                &name,
                &one.id,
                one.size.total,
                one.size.content,
                is_used(one),
            ));
        }
    }
    table::align(&text)
}

fn is_used(one: &ManifestSummary) -> bool {
    one.image_data
        .as_ref()
        .is_some_and(|data| !data.containers.is_empty())
}

fn line(name: &str, id: &str, disk: i64, content: i64, used: bool) -> String {
    let size = |bytes: i64| units::decimal3(bytes as f64);
    let (id, disk, content) = (units::short_id(id), size(disk), size(content));
    format!(
        "{name}\t{id}\t{disk}\t{content}\t{}\n",
        if used { "U" } else { "" }
    )
}

#[cfg(test)]
mod tests {
    use api_types::descriptor::Platform;
    use api_types::image::ManifestImage;

    use super::*;

    #[test]
    fn platforms_stand_below_their_image_and_what_is_used_is_marked() {
        let manifest = |architecture: &str, variant: &str, containers: &[&str]| ManifestSummary {
            id: format!("sha256:{:b<64}", ""),
            image_data: Some(ManifestImage {
                platform: Platform {
                    os: "linux".to_owned(),
                    architecture: architecture.to_owned(),
                    variant: variant.to_owned(),
                    ..Platform::default()
                },
                containers: containers.iter().map(|id| (*id).to_owned()).collect(),
                ..ManifestImage::default()
            }),
            ..ManifestSummary::default()
        };
        let image = Summary {
            id: format!("sha256:{:a<64}", ""),
            repo_tags: vec!["one:1".to_owned(), "one:2".to_owned()],
            size: 1_500_000,
            manifests: Some(vec![manifest("amd64", "", &["c"]), manifest("arm", "v7", &[])]),
            ..Summary::default()
        };
        let shown = listing(&[image, Summary::default()]);
        let lines: Vec<&str> = shown.lines().map(str::trim_end).collect();
        assert!(
            lines[1].starts_with("one:1, one:2 ") && lines[1].ends_with(" U"),
            "{shown}"
        );
        assert!(
            lines[2].starts_with("├─ linux/amd64 ") && lines[2].ends_with(" U"),
            "{shown}"
        );
        assert!(
            lines[3].starts_with("└─ linux/arm/v7 ") && !lines[3].ends_with('U'),
            "{shown}"
        );
        assert!(lines[4].starts_with("<untagged>"), "{shown}");
    }
}
