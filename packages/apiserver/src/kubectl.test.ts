import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, describe, test } from "node:test";
import { type CommandResult, runCommand } from "@tripod/base";
import { findKubectls, interop, noKubectl } from "@tripod/testing";
import { TestServer } from "./testing/test-server.ts";

/** Oldest, middle and newest of the versioned ones, or the only one. */
const tried = ["1.27", "1.30", "1.33"];
const all = findKubectls();
const versioned = all.filter(({ version }) => tried.includes(version));
const found = versioned.length > 0 ? versioned : all;
const home = mkdtempSync("/tmp/tripod-kubectl-");
let server: TestServer;
before(async () => {
  server = await TestServer.start();
});
after(async () => {
  await server[Symbol.asyncDispose]();
  rmSync(home, { recursive: true });
});

const podManifest = `
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  containers:
  - {name: web, image: "busybox:1", ports: [{containerPort: 80}]}
  - {name: side, image: "busybox:1"}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 64Mi}}, storageClassName: fast}
`;

if (noKubectl !== undefined) test("kubectl", { skip: noKubectl }, () => {});
for (const { version, path } of found) {
  describe(
    interop({ interface: "Kubernetes API", caller: `kubectl ${version}`, callee: "Tripod's API server" }),
    () => {
      const namespace = `v${version.replaceAll(/[^0-9]/g, "")}`;
      const environment = () => ({
        HOME: join(home, namespace),
        KUBECONFIG: server.layout.kubeconfig,
        PATH: process.env.PATH,
      });
      const run = (args: string[], input = ""): Promise<CommandResult> =>
        runCommand(path, ["-n", namespace, ...args], {
          input,
          env: environment(),
          okExitCodes: "any",
          timeoutMs: 30_000,
        });
      const ok = async (args: string[], input?: string): Promise<string> => {
        const result = await run(args, input);
        assert.equal(result.exitCode, 0, `${args.join(" ")}: ${result.stderr.toString()}`);
        return result.stdout.toString();
      };
      const refused = async (args: string[], input?: string): Promise<string> => {
        const result = await run(args, input);
        assert.notEqual(result.exitCode, 0, args.join(" "));
        return result.stderr.toString();
      };
      before(() => ok(["create", "namespace", namespace]));

      test("apply, apply again, get, describe, delete", async () => {
        assert.equal(
          await ok(["apply", "-f", "-"], podManifest),
          "pod/web created\npersistentvolumeclaim/data created\n",
        );
        assert.equal(
          await ok(["apply", "-f", "-"], podManifest),
          "pod/web unchanged\npersistentvolumeclaim/data unchanged\n",
        );
        assert.equal(
          await ok(["apply", "-f", "-"], podManifest.replace('"busybox:1", ports', '"busybox:2", ports')),
          "pod/web configured\npersistentvolumeclaim/data unchanged\n",
        );
        const [head, row] = (await ok(["get", "pods", "-o", "wide"])).split("\n");
        assert.match(head ?? "", /^NAME +READY +STATUS +RESTARTS +AGE +IP +NODE +NOMINATED NODE +READINESS GATES$/);
        assert.match(row ?? "", /^web +0\/2 +Pending +0 +\d+s +<none> +<none> +<none> +<none>$/);
        assert.match(await ok(["get", "pvc,sa,cm"]), /persistentvolumeclaim\/data +Pending +fast +<unset>/);
        assert.equal(
          await ok(["get", "pod", "-l", "app=web", "-o", "jsonpath={.items[*].spec.containers[0].image}"]),
          "busybox:2",
        );
        assert.match(await ok(["describe", "pod", "web"]), /Status: +Pending[^]*Image: +busybox:2[^]*kube-api-access-/);
        assert.match(await ok(["get", "pod", "web", "-o", "yaml"]), /\n {2}uid: /);
        assert.equal(
          await ok(["diff", "-f", "-"], podManifest.replace('"busybox:1", ports', '"busybox:2", ports')),
          "",
        );
        assert.match(await ok(["delete", "pod", "web"]), /pod "web" deleted/);
        assert.equal(await ok(["get", "pods", "-o", "name"]), "");
      });

      test("create of all kinds, label, annotate, patch, edit, wait, replace", async () => {
        await ok(["create", "configmap", "settings", "--from-literal=a=1"]);
        await ok(["create", "secret", "generic", "password", "--from-literal=p=x"]);
        await ok(["create", "serviceaccount", "robot"]);
        assert.match(await ok(["create", "token", "robot"]), /^eyJ/);
        await ok(["label", "configmap", "settings", "tier=low"]);
        await ok(["annotate", "configmap", "settings", "note=hello"]);
        await ok(["patch", "configmap", "settings", "-p", '{"data":{"b":"2"}}']);
        await ok([
          "patch",
          "configmap",
          "settings",
          "--type=json",
          "-p",
          '[{"op":"add","path":"/data/c","value":"3"}]',
        ]);
        assert.equal(
          await ok([
            "get",
            "cm",
            "settings",
            "-o",
            "jsonpath={.data}{.metadata.labels.tier}{.metadata.annotations.note}",
          ]),
          '{"a":"1","b":"2","c":"3"}lowhello',
        );
        const edited = await runCommand(path, ["-n", namespace, "edit", "configmap", "settings"], {
          env: { ...environment(), KUBE_EDITOR: "sed -i s/low/high/" },
        });
        assert.match(edited.stdout.toString(), /configmap\/settings edited/);
        assert.match(
          await ok(["wait", "--for=jsonpath={.metadata.labels.tier}=high", "configmap/settings", "--timeout=10s"]),
          /condition met/,
        );
        assert.match(
          await ok(["run", "job", "--image=busybox:1", "--restart=Never", "--", "true"]),
          /pod\/job created/,
        );
        const whole = await ok(["get", "cm", "settings", "-o", "json"]);
        assert.match(await ok(["replace", "-f", "-"], whole.replace('"hello"', '"bye"')), /replaced/);
        assert.match(
          await refused(["replace", "-f", "-"], whole),
          /the object has been modified; please apply your changes to the latest version and try again/,
        );
        assert.match(await ok(["delete", "pod,configmap,secret", "--all"]), /pod "job" .*deleted/);
      });

      test("server-side apply, with a conflict and without", async () => {
        const map = (value: string): string =>
          `---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: ssa}, data: {a: "${value}"}}`;
        assert.match(await ok(["apply", "--server-side", "-f", "-"], map("1")), /configmap\/ssa serverside-applied/);
        await ok(["patch", "configmap", "ssa", "--type=merge", "-p", '{"data":{"a":"9"}}']);
        assert.match(
          await refused(["apply", "--server-side", "-f", "-"], map("2")),
          /Apply failed with 1 conflict: conflict with "kubectl-patch" using v1: \.data\.a/,
        );
        await ok(["apply", "--server-side", "--force-conflicts", "-f", "-"], map("2"));
        await ok(["delete", "configmap", "ssa"]);
      });

      test("snapshots are used as upstream's custom resources are: apply of both kinds, get, explain, patch", async () => {
        const snapshot = (labels: string): string =>
          `---\n{apiVersion: snapshot.storage.k8s.io/v1, kind: VolumeSnapshot, metadata: {name: snap, labels: ${labels}}, spec: {source: {persistentVolumeClaimName: data}}}`;
        assert.match(await ok(["apply", "-f", "-"], snapshot("{a: b}")), /snapshot\.storage\.k8s\.io\/snap created/);
        assert.match(await ok(["apply", "-f", "-"], snapshot("{a: b}")), /snap unchanged/);
        assert.match(await ok(["apply", "-f", "-"], snapshot("{a: c}")), /snap configured/);
        assert.match(
          await ok(["apply", "--server-side", "--force-conflicts", "-f", "-"], snapshot("{a: d}")),
          /snap serverside-applied/,
        );
        await ok(
          ["patch", "vs", "snap", "--subresource=status", "--type=merge", "-p"].concat(
            '{"status":{"readyToUse":true,"restoreSize":"1Gi","boundVolumeSnapshotContentName":"c"}}',
          ),
        );
        const [head, row] = (await ok(["get", "vs"])).split("\n");
        assert.match(
          head ?? "",
          /^NAME +READYTOUSE +SOURCEPVC +SOURCESNAPSHOTCONTENT +RESTORESIZE +SNAPSHOTCLASS +SNAPSHOTCONTENT +CREATIONTIME +AGE *$/,
        );
        assert.match(row ?? "", /^snap +true +data +1Gi +c +\d+s *$/);
        assert.match(
          await refused(["patch", "vs", "snap", "-p", '{"metadata":{"labels":{"a":"e"}}}']),
          /UnsupportedMediaType|415|strategic/,
        );
        assert.match(
          await refused(["apply", "-f", "-"], snapshot("{a: d}").replace("ClaimName: data", "ClaimName: other")),
          /persistentVolumeClaimName is immutable/i,
        );
        assert.match(
          await refused(["apply", "-f", "-"], snapshot("{a: d}").replace("source:", "sauce:")),
          /unknown field "spec\.sauce"/,
        );
        assert.match(await ok(["explain", "vs.spec.source"]), /persistentVolumeClaimName\s+<string>/);
        assert.match(await ok(["explain", "volumegroupsnapshot.spec", "--recursive"]), /matchLabels/);
        const resources = await ok(["api-resources"]);
        for (const line of [
          /^volumesnapshots +vs +snapshot\.storage\.k8s\.io\/v1 +true +VolumeSnapshot$/m,
          /^volumesnapshotcontents +vsc,vscs +snapshot\.storage\.k8s\.io\/v1 +false +VolumeSnapshotContent$/m,
          /^volumesnapshotclasses +vsclass,vsclasses +snapshot\.storage\.k8s\.io\/v1 +false +VolumeSnapshotClass$/m,
          /^volumegroupsnapshots +vgs +groupsnapshot\.storage\.k8s\.io\/v1 +true +VolumeGroupSnapshot$/m,
          /^volumepopulators +populator\.storage\.k8s\.io\/v1beta1 +false +VolumePopulator$/m,
        ])
          assert.match(resources, line);
        assert.match(await ok(["describe", "vs", "snap"]), /Persistent Volume Claim Name: +data/);
        await ok(["delete", "vs", "snap"]);
      });

      test("a headless Service is made, shown, changed and deleted; one that needs an address is warned of", async () => {
        await ok(["create", "service", "clusterip", "db", "--clusterip=None", "--tcp=5432"]);
        const [head, row] = (await ok(["get", "svc", "-o", "wide"])).split("\n");
        assert.match(head ?? "", /^NAME +TYPE +CLUSTER-IP +EXTERNAL-IP +PORT\(S\) +AGE +SELECTOR$/);
        assert.match(row ?? "", /^db +ClusterIP +None +<none> +5432\/TCP +\d+s +app=db$/);
        await ok(["patch", "svc", "db", "-p", '{"spec":{"ports":[{"port":5432,"targetPort":"sql"}]}}']);
        assert.equal(await ok(["get", "svc", "db", "-o", "jsonpath={.spec.ports[*].targetPort}"]), "sql");
        const warned = await run(["create", "service", "nodeport", "web", "--tcp=80:8080"]);
        assert.match(warned.stderr.toString(), /^Warning: .* gets no cluster IP, .* no service proxy$/m);
        assert.match(await ok(["get", "all"]), /service\/web +NodePort +<none> +<none> +80\/TCP/);
        await ok(["delete", "svc", "db", "web"]);
        assert.equal(await ok(["get", "svc", "-o", "name"]), "");
      });

      test("what the server has, explained: api-resources, explain, auth, version", async () => {
        const resources = await ok(["api-resources"]);
        for (const line of [
          /^pods +po +v1 +true +Pod$/m,
          /^storageclasses +sc +storage\.k8s\.io\/v1 +false +StorageClass$/m,
        ])
          assert.match(resources, line);
        assert.match(await ok(["explain", "pod.spec.containers.image"]), /image +<string>/);
        assert.match(await ok(["explain", "pvc.spec", "--recursive"]), /storageClassName/);
        assert.equal(await ok(["auth", "can-i", "create", "pods"]), "yes\n");
        assert.match(await ok(["auth", "can-i", "--list"]), /\*\.\*/);
        if (version !== "1.27") assert.match(await ok(["auth", "whoami"]), /system:masters/);
        assert.match(await ok(["version"]), /1\.33/);
        assert.match(await ok(["get", "--raw", "/readyz"]), /ok/);
      });

      test("a wrong manifest is told with the field's path", async () => {
        const pod = (spec: string): string => `---\n{apiVersion: v1, kind: Pod, metadata: {name: x}, spec: ${spec}}`;
        assert.equal(
          await refused(["apply", "-f", "-"], pod("{containers: [{name: c}]}")),
          'The Pod "x" is invalid: spec.containers[0].image: Required value\n',
        );
        assert.match(
          await refused(["apply", "-f", "-"], pod("{containers: [{name: c, image: i, comand: [x]}]}")),
          /strict decoding error: unknown field "spec\.containers\[0\]\.comand"/,
        );
        assert.match(
          await refused(["create", "-f", "-", "--validate=false"], pod("{containers: [{name: c, image: [i]}]}")),
          /cannot unmarshal array into field spec\.containers\[0\]\.image of type string/,
        );
        assert.equal(await refused(["get", "pod", "ghost"]), 'Error from server (NotFound): pods "ghost" not found\n');
        assert.match(await refused(["get", "things"]), /the server doesn't have a resource type "things"/);
      });

      test("get -w shows an object come, change and go", async () => {
        const child = spawn(
          path,
          ["-n", namespace, "get", "configmaps", "-l", "watched=yes", "-w", "--output-watch-events"],
          { env: environment(), stdio: ["ignore", "pipe", "inherit"] },
        );
        try {
          const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
          // The first list must have been made before there is anything to see of the watch: kubectl is silent until then.
          const first = lines.next();
          const make = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "seen", labels: { watched: "yes" } } };
          await ok(["create", "-f", "-"], JSON.stringify(make));
          assert.match((await first).value ?? "", /^EVENT +NAME +DATA +AGE$/);
          assert.match((await lines.next()).value ?? "", /^ADDED +seen +0 /);
          await ok(["patch", "configmap", "seen", "-p", '{"data":{"a":"1"}}']);
          assert.match((await lines.next()).value ?? "", /^MODIFIED +seen +1 /);
          await ok(["delete", "configmap", "seen"]);
          assert.match((await lines.next()).value ?? "", /^DELETED +seen +1 /);
        } finally {
          child.kill();
        }
      });
    },
  );
}
