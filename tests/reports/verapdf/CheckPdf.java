import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.verapdf.gf.foundry.VeraGreenfieldFoundryProvider;
import org.verapdf.pdfa.Foundries;
import org.verapdf.pdfa.PDFAParser;
import org.verapdf.pdfa.PDFAValidator;
import org.verapdf.pdfa.VeraPDFFoundry;
import org.verapdf.pdfa.flavours.PDFAFlavour;
import org.verapdf.pdfa.results.TestAssertion;
import org.verapdf.pdfa.results.ValidationResult;

/**
 * Checks PDF files against profiles of veraPDF's in one start of the machine: {@code CheckPdf PROFILE,PROFILE FILE…}.
 *
 * <p>Prints a line for every file and profile, tab-separated: file, profile, {@code holds} or {@code broken}, the number of assertions, and the first
 * assertions that failed as {@code clause-test}. A file that cannot be read as PDF is {@code unreadable}.
 */
public final class CheckPdf {
    private static final int MOST = 5;

    public static void main(String[] arguments) throws Exception {
        VeraGreenfieldFoundryProvider.initialise();
        VeraPDFFoundry foundry = Foundries.defaultInstance();
        for (String file : List.of(arguments).subList(1, arguments.length)) {
            for (String profile : arguments[0].split(",")) {
                System.out.println(file + "\t" + profile + "\t" + verdict(foundry, Path.of(file), PDFAFlavour.fromString(profile)));
            }
        }
    }

    private static String verdict(VeraPDFFoundry foundry, Path file, PDFAFlavour flavour) throws Exception {
        ValidationResult found;
        try (InputStream content = Files.newInputStream(file);
                PDFAParser parser = foundry.createParser(content, flavour);
                PDFAValidator validator = foundry.createValidator(flavour, false)) {
            found = validator.validate(parser);
        } catch (org.verapdf.core.ModelParsingException unreadable) {
            return "unreadable\t0\t";
        }
        StringBuilder failed = new StringBuilder();
        found.getTestAssertions().stream()
                .filter(each -> each.getStatus() == TestAssertion.Status.FAILED)
                .map(each -> each.getRuleId().getClause() + "-" + each.getRuleId().getTestNumber())
                .distinct()
                .limit(MOST)
                .forEach(each -> failed.append(each).append(' '));
        return (found.isCompliant() ? "holds" : "broken") + "\t" + found.getTotalAssertions() + "\t" + failed.toString().trim();
    }
}
