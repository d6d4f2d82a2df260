//! The README is true of Kubernetes, too.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::manifests::Manifests;
use crate::rules::check;

const README: &str = include_str!("../../README.md");

#[test]
fn the_kustomization_names_the_images_of_every_variant() {
    let example = README.split("```yaml\nresources:").nth(1).unwrap().split("```").next().unwrap();
    let folder = tempfile::tempdir().unwrap();
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("docker"), &folder.path().join("docker"));
    for variant in ["base", "overlays/one-thread", "overlays/replicas"] {
        let example = format!("resources:{example}")
            .replace("kubernetes/base", &format!("kubernetes/{variant}"));
        fs::write(folder.path().join("kustomization.yaml"), example).unwrap();
        let manifests = Manifests::of_folder(folder.path());
        has_their_images(&manifests);
        check(&manifests, variant);
    }
}

#[test]
fn the_values_for_helm_are_values() {
    let line = README.lines().find(|line| line.starts_with("helm install")).unwrap();
    let mut values = json!({});
    for pair in line.split(" --set ").skip(1) {
        let (path, value) = pair.split_once('=').unwrap();
        let place = path.split('.').fold(&mut values, |place: &mut Value, name| &mut place[name]);
        *place = value.into();
    }
    let manifests = Manifests::of_chart(&values).unwrap();
    has_their_images(&manifests);
    check(&manifests, line);
}

fn has_their_images(manifests: &Manifests) {
    let pod = manifests.pod();
    assert_eq!(pod["initContainers"][0]["image"], "registry.example/seawall:0.1.0");
    assert_eq!(pod["containers"][0]["image"], "registry.example/app:1");
}

/// kustomize reads nothing outside of its folder, and follows no link out of it.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (from, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        match from.is_dir() {
            true => copy(&from, &to),
            false => _ = fs::copy(from, to).unwrap(),
        }
    }
}
