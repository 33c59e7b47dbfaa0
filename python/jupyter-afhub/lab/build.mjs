// Builds the extension as JupyterLab loads it: node build.mjs FOLDER
//
// What JupyterLab itself consists of is not built in but shared with it at run time (module federation), so building needs
// neither JupyterLab nor its packages. Their types are development dependencies.
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

import webpack from 'webpack';

const here = dirname(fileURLToPath(import.meta.url));
const [, , folder] = process.argv;
if (!folder) {
  throw new Error('usage: node build.mjs FOLDER');
}
const out = resolve(folder);
const { name, version, description, license, devDependencies } = JSON.parse(readFileSync(join(here, 'package.json'), 'utf8'));

// Any JupyterLab 4 from the one on that has all we use, and Notebook 7 built on it.
const lab = Object.fromEntries(
  Object.entries(devDependencies)
    .filter(([dependency]) => /^@(jupyterlab|lumino)\//.test(dependency))
    .map(([dependency, pinned]) => [dependency, `^${pinned.split('.')[0]}.0.0`])
);

const compiler = webpack({
  context: here,
  mode: 'production',
  devtool: false,
  entry: {},
  output: { path: join(out, 'static'), filename: '[name].[contenthash].js', publicPath: 'auto' },
  resolve: { extensions: ['.ts', '.js'] },
  // A folder that holds only this package's modules may be anywhere.
  resolveLoader: { modules: [join(here, 'node_modules')] },
  module: {
    rules: [
      { test: /\.ts$/, use: join(here, 'transpile.mjs') },
      { test: /\.css$/, use: ['style-loader', 'css-loader'] }
    ]
  },
  plugins: [
    new webpack.container.ModuleFederationPlugin({
      name,
      library: { type: 'var', name: ['_JUPYTERLAB', name] },
      filename: 'remoteEntry.[contenthash].js',
      exposes: { './index': './src/index.ts', './extension': './src/index.ts', './style': './style/index.js' },
      shared: Object.fromEntries(
        Object.entries(lab).map(([dependency, requiredVersion]) => [dependency, { import: false, singleton: true, requiredVersion }])
      )
    })
  ]
});

rmSync(out, { recursive: true, force: true });
compiler.run((error, stats) => {
  if (error || stats.hasErrors()) {
    console.error(error ?? stats.toString({ all: false, errors: true }));
    process.exit(1);
  }
  const entry = stats
    .toJson({ assets: true })
    .assets.map(asset => asset.name)
    .find(file => file.startsWith('remoteEntry.'));
  const manifest = {
    name,
    version,
    description,
    license,
    dependencies: lab,
    jupyterlab: {
      extension: true,
      schemaDir: 'schema',
      _build: { load: `static/${entry}`, extension: './extension', style: './style' }
    }
  };
  const written = JSON.stringify(manifest, null, 2) + '\n';
  writeFileSync(join(out, 'package.json'), written);
  if (existsSync(join(here, 'schema'))) {
    mkdirSync(join(out, 'schemas', name), { recursive: true });
    cpSync(join(here, 'schema'), join(out, 'schemas', name), { recursive: true });
    writeFileSync(join(out, 'schemas', name, 'package.json.orig'), written);
  }
  const install = {
    packageManager: 'python',
    packageName: name,
    uninstallInstructions: `Use your Python package manager (pip, conda, ...) to uninstall the package ${name}`
  };
  writeFileSync(join(out, 'install.json'), JSON.stringify(install, null, 2) + '\n');
});
