//! The manifests as Kubernetes would get them.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// In the order of the files.
#[derive(Clone)]
pub(crate) struct Manifests(pub(crate) Vec<Value>);

impl Manifests {
    /// Of a folder in `docker/kubernetes`.
    pub(crate) fn of_kustomize(folder: &str) -> Self {
        Self::of_folder(&path(folder))
    }

    /// Of any with a `kustomization.yaml`.
    pub(crate) fn of_folder(folder: &Path) -> Self {
        let built = Command::new(tool("kubectl")).arg("kustomize").arg(folder).output().unwrap();
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        assert!(built.stderr.is_empty(), "{}", String::from_utf8_lossy(&built.stderr));
        let Value::Array(all) = asked(&["parse"], &built.stdout) else { panic!("no list") };
        Self(all)
    }

    /// Of the chart with these values, for the newest Kubernetes; else what is wrong with it, or with them.
    pub(crate) fn of_chart(values: &Value) -> Result<Self, String> {
        Self::of_chart_for("", values)
    }

    /// For one such as "1.29.0".
    pub(crate) fn of_chart_for(version: &str, values: &Value) -> Result<Self, String> {
        let folder = path("chart").display().to_string();
        let made = asked(&["chart", &folder, version], values.to_string().as_bytes());
        match &made["documents"] {
            Value::Array(all) => Ok(Self(all.clone())),
            _ => Err(made["mistakes"].to_string()),
        }
    }

    /// By the schemas of every version that has native sidecars.
    pub(crate) fn mistakes(&self) -> Vec<String> {
        let found = asked(&["mistakes"], Value::Array(self.0.clone()).to_string().as_bytes());
        assert!(found["versions"].as_array().unwrap().len() > 5, "{found}");
        serde_json::from_value(found["mistakes"].clone()).unwrap()
    }

    pub(crate) fn of_kind(&self, kind: &str) -> impl Iterator<Item = &Value> {
        self.0.iter().filter(move |one| one["kind"] == kind)
    }

    /// The pod of the deployment that has seawall in it.
    pub(crate) fn pod(&self) -> &Value {
        let mut pods = self.of_kind("Deployment").map(|one| &one["spec"]["template"]["spec"]);
        pods.find(|pod| pod["initContainers"][0]["name"] == "seawall").unwrap()
    }

    /// What seawall will read there.
    pub(crate) fn config(&self) -> &str {
        self.of_kind("ConfigMap").find_map(|map| map["data"]["proxy.toml"].as_str()).unwrap()
    }
}

fn path(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docker/kubernetes").join(folder)
}

/// Of `manifests.py`.
fn asked(arguments: &[&str], input: &[u8]) -> Value {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kubernetes/manifests.py");
    let mut child = Command::new(tool("python"))
        .arg(script)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let said = child.wait_with_output().unwrap();
    assert!(said.status.success());
    serde_json::from_slice(&said.stdout).unwrap()
}

/// Of those that `tests/backends/setup` installs.
fn tool(name: &str) -> PathBuf {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/target/backends/venv-kubernetes/bin");
    let tool = Path::new(folder).join(name);
    assert!(tool.exists(), "there is no {name} to check manifests with: run tests/backends/setup");
    tool
}
