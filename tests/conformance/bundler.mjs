// The JavaScript SDK is published for bundlers: its modules import each other without the file ending that Node
// wants. This adds it. Used as `node --import ./bundler.mjs`, Node 20.6 or later.
import { register } from 'node:module';

const hooks = `
export async function resolve(specifier, context, next) {
    const candidates = specifier.startsWith('.') ? [specifier, specifier + '.js', specifier + '/index.js'] : [specifier];
    let failure;
    for (const candidate of candidates) {
        try {
            return await next(candidate, context);
        } catch (error) {
            failure ??= error;
        }
    }
    throw failure;
}`;

register(`data:text/javascript,${encodeURIComponent(hooks)}`);
