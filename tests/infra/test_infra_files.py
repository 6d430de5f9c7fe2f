"""infra/: the files are valid, pinned, without secrets, closed to the outside, and fit together."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import kubernetes_validate
import pytest

from tests.conftest import ROOT
from tests.infra import manifests
from tests.infra.manifests import COMPOSE, HELM, INFRA, KUBERNETES, Object

BIN = Path(sys.executable).parent
OWN_IMAGES = ("kinecolor-cpu", "kinecolor-gpu")
SCRIPTS = (
    *("scripts/build-image", "scripts/ensure-opencv", "scripts/install-servers"),
    *("scripts/make-secrets", "infra/images/with-ray-node"),
)
YAML = sorted(
    path for path in INFRA.rglob("*.yaml") if "monitoring" not in path.relative_to(INFRA).parts
)


def run(program: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BIN / program, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60
    )


# -- each by the rules of its kind -----------------------------------------------------------


def test_compose_is_what_its_schema_says(tmp_path: Path) -> None:
    check = ("--builtin-schema", "vendor.compose-spec")
    checked = run("check-jsonschema", *check, COMPOSE)
    assert checked.returncode == 0, checked.stdout
    wrong = tmp_path / "compose.yaml"
    wrong.write_text(COMPOSE.read_text().replace("healthcheck:", "helthcheck:"))
    assert run("check-jsonschema", *check, wrong).returncode == 1


def test_dockerfile() -> None:
    checked = run("hadolint", "infra/images/Dockerfile")
    assert checked.returncode == 0, checked.stdout


def test_scripts() -> None:
    checked = run("shellcheck", *SCRIPTS)
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize("resource", manifests.resources(), ids=lambda each: each["kind"])
def test_kubernetes_object(resource: Object) -> None:
    """By Kubernetes' own schemas, which do not know the objects of KubeRay and cert-manager."""
    if resource["kind"] in ("RayCluster", "Issuer", "Certificate"):
        assert resource["apiVersion"] in ("ray.io/v1", "cert-manager.io/v1")
        assert resource.keys() == {"apiVersion", "kind", "metadata", "spec"}
    else:
        kubernetes_validate.validate(resource, kubernetes_validate.latest_version(), strict=True)


@pytest.mark.parametrize(("name", "template"), manifests.pod_templates().items())
def test_pods_are_what_kubernetes_says(name: str, template: Object) -> None:
    """Those in objects that Kubernetes' own schemas do not know, too."""
    pod = {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "x"}}
    pod["template"] = template
    kubernetes_validate.validate(pod, kubernetes_validate.latest_version(), strict=True)


def test_a_wrong_field_of_a_pod_is_seen() -> None:
    template = {"spec": {"containers": [{"name": "x", "imige": "y"}]}}
    with pytest.raises(kubernetes_validate.ValidationError):
        test_pods_are_what_kubernetes_says("x", template)


# The fields of KubeRay's API v1 that are used here (its reference, release 1.6).
RAY_CLUSTER = {
    "": {"rayVersion", "authOptions", "enableInTreeAutoscaling", "autoscalerOptions"}
    | {"headGroupSpec", "workerGroupSpecs"},
    "authOptions": {"mode", "secretName"},
    "autoscalerOptions": {"version", "upscalingMode", "idleTimeoutSeconds", "env", "volumeMounts"}
    | {"securityContext", "resources"},
    "headGroupSpec": {"rayStartParams", "template"},
    "workerGroupSpecs": {"groupName", "replicas", "minReplicas", "maxReplicas", "rayStartParams"}
    | {"template"},
}


def test_the_ray_cluster_has_fields_of_kuberay() -> None:
    spec = manifests.ray_cluster()["spec"]
    assert set(spec) == RAY_CLUSTER[""]
    for name in ("authOptions", "autoscalerOptions", "headGroupSpec"):
        assert set(spec[name]) == RAY_CLUSTER[name]
    for group in spec["workerGroupSpecs"]:
        assert set(group) == RAY_CLUSTER["workerGroupSpecs"]
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    for started in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        assert all(isinstance(value, str) for value in started["rayStartParams"].values())


# -- pinned, and the same everywhere ---------------------------------------------------------


def test_every_image_has_a_version() -> None:
    images = manifests.images()
    assert len(images) >= 8
    version = re.compile(r":(v?\d+\.\d+[\w.-]*|RELEASE\.[\dT-]+Z)$")
    assert {each for each in images if not version.search(each)} == set()


def test_versions_are_those_of_this_repository() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    version = re.findall(r'^version = "(.+)"$', project, re.MULTILINE)[0]
    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    locked = dict(re.findall(r"^([\w.-]+)==(\S+)$", constraints, re.MULTILINE))
    own = {each for each in manifests.images() if each.split("/")[-1].startswith(OWN_IMAGES)}
    assert own
    assert {each.rpartition(":")[2] for each in own} == {version}
    assert manifests.ray_cluster()["spec"]["rayVersion"] == locked["ray"]
    server = manifests.objects(HELM / "prefect-server.values.yaml")[0]
    assert server["global"]["prefect"]["image"]["prefectTag"].startswith(f"{locked['prefect']}-")


def test_kustomize_knows_where_every_image_is_named() -> None:
    kustomization = manifests.objects(KUBERNETES / "kustomization.yaml")[0]
    assert {each["name"] for each in kustomization["images"]} == set(OWN_IMAGES)
    paths = {each["path"] for each in manifests.objects(KUBERNETES / "images.yaml")[0]["images"]}
    for group in ("headGroupSpec", "workerGroupSpecs"):
        for kind in ("containers", "initContainers"):
            assert f"spec/{group}/template/spec/{kind}/image" in paths


# -- secrets ---------------------------------------------------------------------------------

_SECRET = re.compile(r"password|secret|token|auth.?string|connection|credential|api.?key", re.I)
_REFERENCES = {"secrets", "secretName", "existingSecret"}  # say which secret, not what it is
_FOLDERS = ("/run/secrets/", "/var/run/", "./secrets/")


def told_secrets(text: Object) -> set[str]:
    """Names in a file whose value could be a secret's."""
    found = {
        name
        for name, value in manifests.leaves(text)
        if _SECRET.search(name) and name not in _REFERENCES and not value.startswith(_FOLDERS)
    }
    return found | {
        value for _, value in manifests.leaves(text) if re.search(r"//[^/]*:.*@", value)
    }


@pytest.mark.parametrize("path", YAML, ids=lambda path: path.name)
def test_no_secret_has_a_value(path: Path) -> None:
    for each in manifests.objects(path):
        assert each.get("kind") != "Secret"
        assert told_secrets(each) == set()


def test_a_secret_would_be_seen() -> None:
    assert told_secrets({"env": [{"name": "RAY_AUTH_TOKEN", "value": "hunter2"}]})
    assert told_secrets({"environment": {"POSTGRES_PASSWORD": "hunter2"}})
    assert told_secrets({"url": "postgresql://prefect:hunter2@database/prefect"})


def test_secrets_are_made_as_compose_wants_them(tmp_path: Path) -> None:
    script = ROOT / "scripts" / "make-secrets"
    folder = tmp_path / "secrets"
    for _ in range(2):  # the second time it leaves them as they are
        subprocess.run([script, folder], check=True, timeout=30)
        made = {path.name: path.read_text() for path in folder.iterdir()}
        (folder / "s3_user").write_text("somebody")
    wanted = manifests.objects(COMPOSE)[0]["secrets"]
    assert {name: f"./secrets/{name}" for name in made} == {
        name: each["file"] for name, each in wanted.items()
    }
    assert made["s3_user"] == "somebody"
    assert f"aws_secret_access_key = {made['s3_password']}" in made["aws_credentials"]
    assert len(made["ray_token"]) >= 32
    assert len(set(made.values())) == len(made)
    assert folder.stat().st_mode & 0o077 == 0
    example = (INFRA / "secrets.example").read_text(encoding="utf-8")
    assert all(re.search(rf"^{name} ", example, re.MULTILINE) for name in made)
    assert "/infra/secrets/" in (ROOT / ".gitignore").read_text().splitlines()


# -- closed to the outside -------------------------------------------------------------------


def test_compose_listens_on_loopback_only() -> None:
    ports = [port for each in manifests.services().values() for port in each.get("ports", ())]
    assert len(ports) >= 5
    assert all(port.startswith("127.0.0.1:") for port in ports)


@pytest.mark.parametrize(("name", "service"), manifests.services().items())
def test_a_service_of_compose_may_do_little(name: str, service: Object) -> None:
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service.keys() & {"privileged", "cap_add", "pid", "network_mode", "devices"}
    if "kinecolor" in service["image"]:
        environment = service.get("environment", {})
        ray = "ray" in " ".join(service["command"][:2]) or "RAY_ADDRESS" in environment
        assert not ray or environment["RAY_AUTH_MODE"] == "token"


@pytest.mark.parametrize(("name", "template"), manifests.pod_templates().items())
def test_a_pod_may_do_little(name: str, template: Object) -> None:
    pod = template["spec"]["securityContext"]
    assert pod["runAsNonRoot"] is True and pod["runAsUser"] == 10001
    assert pod["seccompProfile"]["type"] == "RuntimeDefault"
    for each in manifests.containers(template):
        assert each["securityContext"]["allowPrivilegeEscalation"] is False
        assert each["securityContext"]["readOnlyRootFilesystem"] is True
        assert each["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert each["resources"]["requests"].keys() >= {"cpu", "memory"}
        assert "memory" in each["resources"]["limits"]
        assert any(mount["mountPath"] == "/tmp" for mount in each["volumeMounts"]) or (  # noqa: S108
            each["command"][0] == "request-certificate"
        )


@pytest.mark.parametrize("name", ["ray head", "ray cpu", "ray gpu", "prefect worker"])
def test_every_node_of_ray_speaks_tls_with_a_token(name: str) -> None:
    template = manifests.pod_templates()[name]
    assert manifests.ray_cluster()["spec"]["authOptions"]["mode"] == "token"
    asks, node = manifests.containers(template)
    assert asks["command"][:2] == ["request-certificate", "/etc/ray/tls"]
    environment = {each["name"]: each.get("value") for each in node["env"]}
    assert environment["RAY_USE_TLS"] == "1"
    mounts = {each["name"]: each for each in node["volumeMounts"]}
    assert mounts["tls"]["mountPath"] == "/etc/ray/tls" and mounts["tls"]["readOnly"]
    files = [environment[f"RAY_TLS_{each}"] for each in ("SERVER_CERT", "SERVER_KEY", "CA_CERT")]
    assert files == [f"/etc/ray/tls/{each}" for each in ("tls.crt", "tls.key", "ca.crt")]
    # The Kubernetes API's token stays with the init container; the head's autoscaler needs it.
    assert name == "ray head" or "account" not in mounts
    assert template["metadata"]["labels"]["kinecolor/ray"] == "node"


def test_nothing_is_open_by_default() -> None:
    policies = [each["spec"] for each in manifests.resources() if each["kind"] == "NetworkPolicy"]
    assert {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]} in policies
    for policy in policies:
        for rule in (*policy.get("ingress", ()), *policy.get("egress", ())):
            everybody = {"ipBlock": {"cidr": "0.0.0.0/0"}}
            assert rule.get("from") or rule.get("to")
            assert everybody not in rule.get("from", ())
            assert everybody not in rule.get("to", ()) or rule["ports"]


# -- what files say of each other ------------------------------------------------------------


def test_every_file_that_compose_mounts_is_there() -> None:
    mounted = [
        source
        for each in manifests.services().values()
        for source in (volume.partition(":")[0] for volume in each.get("volumes", ()))
        if source.startswith(".")
    ]
    assert len(mounted) >= 4
    assert {each for each in mounted if not (INFRA / each).exists()} == set()


def test_volumes_and_services_that_compose_names_are_declared() -> None:
    compose = manifests.objects(COMPOSE)[0]
    for each in compose["services"].values():
        assert set(each.get("depends_on", ())) <= set(compose["services"])
        assert set(each.get("secrets", ())) <= set(compose["secrets"])
        named = {volume.partition(":")[0] for volume in each.get("volumes", ()) if ":" in volume}
        assert {name for name in named if not name.startswith(".")} <= set(compose["volumes"])


@pytest.mark.parametrize(("name", "template"), manifests.pod_templates().items())
def test_a_pod_mounts_volumes_that_it_has(name: str, template: Object) -> None:
    volumes = {each["name"] for each in template["spec"]["volumes"]}
    mounted = {m["name"] for each in manifests.containers(template) for m in each["volumeMounts"]}
    assert mounted == volumes if name != "ray gpu" else mounted <= volumes


def test_every_variable_is_documented() -> None:
    configuration = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    page = configuration.partition("## Environment variables")[2].partition("\n## ")[0]
    told = set[str]()
    for service in manifests.services().values():
        if "kinecolor" in service["image"]:
            told |= set(service.get("environment", ()))
    for template in manifests.pod_templates().values():
        for each in manifests.containers(template):
            if each.get("command", [""])[0] != "request-certificate":
                told |= {variable["name"] for variable in each.get("env", ())}
    (settings,) = (each for each in manifests.resources() if each["kind"] == "ConfigMap")
    told |= set(settings["data"])
    assert len(told) >= 20
    assert {name for name in told if f"`{name}`" not in page} == set()
