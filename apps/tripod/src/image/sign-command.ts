import { readFile } from "node:fs/promises";
import { Command } from "commander";
import { credentialsOf } from "./credentials.ts";
import { printJson, type StoreOptions, withImages } from "./with-images.ts";

interface SignFlags extends StoreOptions {
  readonly key: string;
  readonly creds?: string;
}

export function signCommand(): Command {
  return new Command("sign")
    .argument("<image>", "its name in a registry")
    .requiredOption("--key <file>", "a private key in PEM without a passphrase: ECDSA P-256, RSA or Ed25519")
    .description("Sign an image in its registry, as cosign does, for etc/policy.json to ask for")
    .option("--root <dir>", "the instance's folder")
    .option(
      "--creds <user:password>",
      "login for the registry, - to read it from standard input; else that of docker's config.json",
    )
    .option("--json", "print what was signed as JSON")
    .addHelpText(
      "after",
      `
Examples:
  openssl genpkey -algorithm ed25519 -out key.pem; openssl pkey -in key.pem -pubout -out key.pub
  tripod image sign registry.example.com/team/web:1 --key key.pem

DIR/etc/policy.json then lets in of that registry only what this key has signed:
  {"default": [{"type": "insecureAcceptAnything"}],
   "transports": {"docker": {"registry.example.com": [{"type": "sigstoreSigned", "keyPath": "key.pub"}]}}}`,
    )
    .action((name: string, options: SignFlags) =>
      withImages(options, async (images, signal) => {
        const key = await readFile(options.key, "utf8");
        const signed = await images.sign(name, { key, signal, auth: credentialsOf(name, options.creds) });
        if (options.json) printJson({ signed });
        else process.stdout.write(`${signed}\n`);
      }),
    );
}
