// Loader for webpack: takes the types out of a module. They are checked by tools/lint.sh, not at every build.
import ts from 'typescript';

export default function transpile(source) {
  const { outputText } = ts.transpileModule(source, {
    fileName: this.resourcePath,
    compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022, verbatimModuleSyntax: true }
  });
  return outputText;
}
